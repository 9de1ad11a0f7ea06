#!/usr/bin/env node
// Installs what the project needs on Debian 12 or 13: Debian packages, then npm packages. For the tests it also makes
// a Python environment with moto; without it, the tests that need moto are skipped.
// Plain JavaScript on Node's built-ins: it runs before anything is installed, on any Node >= 20.
// Prints on standard error only, so that a command's --json output stays clean. Prints nothing when nothing is missing.
// Exit 2: something only the operator can mend.
//   node scripts/setup.mjs [--test | --full]     also what `npm test`, or `npm run test:full`, needs
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const forFullTests = process.argv.includes('--full')
const forTests = forFullTests || process.argv.includes('--test')
const isRoot = process.getuid?.() === 0
const say = (line) => process.stderr.write(`${line}\n`)
const stop = (line) => {
  say(line)
  process.exit(2)
}

/** The Python environment. It holds the hash of the requirements that it was made from. */
const venv = join(root, 'build/venv')
const venvStamp = join(venv, 'requirements.sha256')
const requirements = join(root, 'test/kit/aws/requirements.txt')
const requirementsHash = createHash('sha256').update(readFileSync(requirements)).digest('hex')
const lacksVenv = forTests && !hasVenv()

/** Debian package → what it does. All other programs of a bake come from the locked tools tree. */
const debianPackages = {
  mmdebstrap: 'installs the locked packages into the image’s root file system',
  bubblewrap: 'runs the image tools and the fleet’s instances in sandboxes that end with their parent',
  'qemu-system-x86': 'boots the image for the boot test',
  ovmf: 'is the UEFI firmware that the image boots with',
  'debian-archive-keyring': 'verifies Debian’s signature when packages are locked',
  e2fsprogs: 'makes the spool disk of the boot test',
  // When root runs the tests, one of them bakes as an ordinary user.
  ...(isRoot && !forTests ? {} : { uidmap: 'lets mmdebstrap build a root file system without being root' }),
  ...(forTests ? { strace: 'shows the tests that a message is flushed to disk before it is accepted' } : {}),
  ...(forFullTests ? packagesOfFullTests() : {}),
}

checkPlatform()
const problem = await installDebianPackages(debianPackages)
if (problem !== null) stop(problem)
if (forFullTests) enableArm64Programs()
installNpmPackages()
if (lacksVenv) await installPythonPackages()

function packagesOfFullTests() {
  return {
    chromium: 'opens the report page in a real browser',
    'qemu-user-static': 'runs the maintainer scripts of an arm64 root file system',
    'binfmt-support': 'tells the kernel to run arm64 programs by it',
    'arch-test': 'tells mmdebstrap that it can',
    'qemu-system-arm': 'boots the arm64 image',
    'qemu-efi-aarch64': 'is the UEFI firmware that the arm64 image boots with',
  }
}

/** In a container no service does this. Without it the tests for arm64 print what is missing. */
function enableArm64Programs() {
  if (existsSync('/proc/sys/fs/binfmt_misc/qemu-aarch64') || !isRoot) return
  spawnSync('update-binfmts', ['--enable', 'qemu-aarch64'], { stdio: 'ignore' })
}

function checkPlatform() {
  const major = Number(process.versions.node.split('.')[0])
  if (major < 20)
    stop(`mailfleet needs Node 20 or newer to start from; this is ${process.version} (${process.execPath}).`)
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    stop(
      `mailfleet bakes and boots x86-64 images on x86-64 Linux; this is ${process.platform} ${process.arch}.`,
    )
  }
}

/** @returns what the operator has to do; null when all packages are installed */
async function installDebianPackages(packages) {
  const missing = missingPackages(Object.keys(packages))
  if (missing.length === 0) return null
  say('mailfleet needs these Debian packages, which are not installed:')
  for (const name of missing) say(`  ${name.padEnd(24)} ${packages[name]}`)
  const install = [
    'apt-get',
    'install',
    '-y',
    '--no-install-recommends',
    '-o',
    'DPkg::Lock::Timeout=120',
    ...missing,
  ]
  const asRoot = await howToBecomeRoot()
  if (!asRoot) return `Install them, then run this again:\n  sudo ${install.join(' ')}`
  const steps = [['apt-get', 'update', '-q'], install]
  for (const step of steps) {
    const [command, ...args] = [...asRoot, ...step]
    say(`+ ${[command, ...args].join(' ')}`)
    const ended = spawnSync(command, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    // An update can fail for one repository and still bring what is needed, so only the install counts.
    if (ended.status !== 0 && step === install) {
      return `${ended.stdout}\nThat failed (${ended.status ?? ended.signal}). Mend it, or run it by hand:\n  sudo ${install.join(' ')}`
    }
  }
  return null
}

function missingPackages(names) {
  const query = spawnSync(
    'dpkg-query',
    ['--show', '--showformat=${Package} ${db:Status-Status}\n', ...names],
    { encoding: 'utf8' },
  )
  if (query.error)
    stop(
      `mailfleet runs on Debian 12 or 13 (dpkg-query: ${query.error.code}). It needs: ${names.join(', ')}.`,
    )
  const installed = new Set(
    query.stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  )
  return names.filter((name) => !installed.has(name))
}

/** The words that run a command as root; null when this user may not. */
async function howToBecomeRoot() {
  if (isRoot) return []
  if (spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0)
    return ['sudo', '-n', '--preserve-env=DEBIAN_FRONTEND']
  if (!process.stdin.isTTY || process.env.CI) return null
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question('Install them now with sudo? [y/N] ')
  terminal.close()
  return /^y(es)?$/i.test(answer.trim()) ? ['sudo'] : null
}

function installNpmPackages() {
  const stamp = join(root, 'node_modules/.package-lock.json')
  const lock = join(root, 'package-lock.json')
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return
  say('+ npm ci')
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const ended = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' })
  if (ended.status !== 0) {
    rmSync(stamp, { force: true })
    stop(`${ended.stdout ?? ''}\nnpm ci failed (${ended.error?.message ?? ended.status ?? ended.signal}).`)
  }
}

/**
 * Whether the environment is complete: it has its stamp, and its interpreter finds moto. The interpreter is a link to
 * the system's Python, and after an upgrade of that it looks for packages elsewhere.
 */
function hasVenv() {
  if (!existsSync(venvStamp) || readFileSync(venvStamp, 'utf8') !== requirementsHash) return false
  const look = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("moto") is None)'
  return spawnSync(join(venv, 'bin/python3'), ['-c', look], { stdio: 'ignore' }).status === 0
}

/** Debian's python3 comes without ensurepip, which `python3 -m venv` needs: it is in python3-venv. */
function canMakeVenv() {
  return spawnSync('python3', ['-c', 'import venv, ensurepip'], { stdio: 'ignore' }).status === 0
}

/** When this fails, the tests that need moto are skipped, with a message; the others run. */
async function installPythonPackages() {
  const without = (why) =>
    say(`moto could not be installed, so the tests that need it will be skipped: ${why}`)
  const packages = { 'python3-venv': 'runs moto, the AWS that tests talk to' }
  const problem = canMakeVenv() ? null : await installDebianPackages(packages)
  if (problem !== null) return without(problem)
  say('+ python3 -m venv build/venv, and moto into it')
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '1']
  for (const [command, args] of [
    ['python3', ['-m', 'venv', '--clear', venv]],
    [join(venv, 'bin/python3'), [...pip, '--requirement', requirements]],
  ]) {
    const ended = spawnSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
    if (ended.status !== 0) {
      const said = ended.stderr?.trim().split('\n').at(-1)
      const why = ended.error?.message ?? (said || `${command} ended with ${ended.status ?? ended.signal}`)
      return without(why)
    }
  }
  writeFileSync(venvStamp, requirementsHash)
}
