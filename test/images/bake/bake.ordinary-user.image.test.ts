// An ordinary user bakes the same image as root. A suite that runs as root makes a user for this, or takes the one in
// MAILFLEET_TEST_USER. The user has this clone, read-only, and a cache of its own.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { newestImage, project } from '../../kit/images/baked.ts'

/** Mounts the clone $2 and the files of the cache $3 in the folder $1, hides /etc/subuid if $4 says so, and runs $6… as $5. */
const SETUP = `mount --bind "$2" "$1/clone" && mount -o remount,bind,ro "$1/clone" &&
  mount --bind "$3" "$1/archive" && mount -o remount,bind,ro "$1/archive" &&
  if [ "$4" = hide ]; then mount --bind /dev/null /etc/subuid; fi &&
  user=$5 && shift 5 && runuser -u "$user" -- "$@"; exit $?`
/** A namespace of its own for the mounts and processes, which end with this process. */
const NAMESPACE = ['--mount', '--propagation=private', '--pid', '--fork', '--kill-child=KILL', '--mount-proc']

type User = { name: string; uid: number; gid: number; home: string }

function ordinaryUser(t: TestContext): User {
  const given = process.env['MAILFLEET_TEST_USER']
  const name = given ?? `mailfleet-${process.pid}`
  if (given === undefined) {
    execFileSync('useradd', ['--create-home', name])
    t.after(() => execFileSync('userdel', ['--force', '--remove', name], { stdio: 'ignore' }))
  }
  const entry = execFileSync('getent', ['passwd', name], { encoding: 'utf8' }).split(':')
  return { name, uid: Number(entry[2]), gid: Number(entry[3]), home: entry[5]! }
}

/** A folder of the user's with a copy of the lock. */
function workFolder(t: TestContext, { home, uid, gid }: User, lock: string): string {
  const folder = mkdtempSync(join(home, 'mailfleet-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  copyFileSync(lock, join(folder, 'image.lock.json'))
  for (const name of ['clone', 'archive', 'tmp', 'cache', 'images']) mkdirSync(join(folder, name))
  for (const name of ['', 'tmp', 'cache', 'images', 'image.lock.json'])
    chownSync(join(folder, name), uid, gid)
  return folder
}

async function bakeAs(user: User, folder: string, subuid: 'hide' | 'keep') {
  const clone = join(folder, 'clone')
  const inClone = (path: string) => join(clone, relative(project.root, path))
  const options = {
    specFile: inClone(project.specFile),
    serverEntry: inClone(project.serverEntry),
    lockFile: join(folder, 'image.lock.json'),
    cacheDir: join(folder, 'cache'),
    outDir: join(folder, 'images'),
  }
  const bake = inClone(join(project.root, 'images/bench/bake/bake-elsewhere.ts'))
  const command = [inClone(process.execPath), bake, JSON.stringify(options)]
  const mounts = [folder, project.root, join(project.cacheDir, 'objects'), subuid, user.name]
  const child = spawn('unshare', [...NAMESPACE, '--', 'sh', '-c', SETUP, 'sh', ...mounts, ...command], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: user.home,
      TMPDIR: join(folder, 'tmp'),
      BAKE_UMASK: String(0o022),
      MAILFLEET_ARCHIVE: join(folder, 'archive'),
      // Nothing but the archive: no file is fetched over a network.
      MAILFLEET_MIRROR: 'http://127.0.0.1:9/debian',
    },
  })
  const [digest, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { digest: digest.trim(), errors }
}

const isRoot = process.getuid?.() === 0
const isReadable = (statSync(project.root).mode & 0o005) === 0o005
const unable = !isRoot
  ? 'the suite runs as an ordinary user, so all of its bakes show this'
  : isReadable
    ? undefined
    : 'other users may not read this clone'

test('an ordinary user bakes an image with the same digest as root', async (t) => {
  if (unable !== undefined) return t.skip(unable)
  const image = await newestImage()
  const user = ordinaryUser(t)
  const folder = workFolder(t, user, join(image.folder, 'image.lock.json'))

  const refused = await bakeAs(user, folder, 'hide')
  assert.match(refused.errors, /has no range of 65536 ids in \/etc\/subuid\. As root: usermod --add-subuids /)
  assert.ok(!existsSync(join(folder, 'cache/objects')), 'refused before anything was fetched')

  const { digest, errors } = await bakeAs(user, folder, 'keep')
  assert.equal(digest, image.digest, errors)
  for (const name of ['manifest.json', 'files.json'])
    assert.equal(
      execFileSync('cmp', [join(folder, 'images', digest, name), join(image.folder, name)], {
        encoding: 'utf8',
      }),
      '',
    )
})
