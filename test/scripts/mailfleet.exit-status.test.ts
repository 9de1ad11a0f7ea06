// The exit status of the real command line: bad input is 2 in every command.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'exit-status-'))
after(() => rmSync(folder, { recursive: true }))
const absent = join(folder, 'absent')
const badYaml = join(folder, 'bad.yaml')
writeFileSync(badYaml, 'a: [1, 2\nb: "\n')

/** An empty cache, a mirror and an AWS that nobody is, and no key of the user's. */
const nobody = 'http://127.0.0.1:1'
const env = {
  PATH: process.env['PATH'],
  HOME: folder,
  MAILFLEET_CACHE: join(folder, 'cache'),
  MAILFLEET_MIRROR: `${nobody}/debian`,
  AWS_ENDPOINT_URL: nobody,
  AWS_REGION: 'eu-west-1',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
}

/** Far above the 8 s of the slowest one. */
const HANG_MS = 120_000

async function mailfleet(args: readonly string[], more: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [join(root, 'scripts/run.mjs'), ...args], {
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A command that never ends then has no exit status.
    timeout: HANG_MS,
    killSignal: 'SIGKILL',
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout, stderr }
}

/** What is wrong → command lines with it → what each says. */
const MISTAKES: Record<string, [string, RegExp][]> = {
  'an unknown option': [
    ['start --x', /unknown option '--x'/],
    ['test --x', /unknown option '--x'/],
    ['mutate --x', /unknown option '--x'/],
    ['bench bake --x', /unknown option '--x'/],
    ['fleet up --config f --x', /unknown option '--x'/],
    ['image lock --x', /unknown option '--x'/],
    ['image prune --x', /unknown option '--x'/],
  ],
  'options that do not go together': [
    ['image build --secure-boot-key k', /--secure-boot-key and --secure-boot-cert go together/],
    ['image lock --check --update', /cannot be used with/],
    ['image lock --archive build', /--archive: expected --update or --check beside it/],
    ['image prune --apply --dry-run', /cannot be used with/],
    ['image promote --channel prod --soak 1d', /--soak needs --after/],
  ],
  'an unknown image': [
    ['image test no-such', /image: expected .*image build.*, found no-such\n/],
    ['image verify no-such', /image: expected .*image build.*, found no-such\n/],
    ['image diff no-such latest', /before: expected .*image build.*, found no-such\n/],
    ['image publish no-such', /image: expected .*image build.*, found no-such\n/],
    ['image publish no-such --dry-run --json', /image: expected .*image build.*, found no-such\n/],
    ['image promote no-such --channel prod', /image: expected .*image build.*, found no-such\n/],
  ],
  'a file that is not there': [
    [`fleet up --config ${absent}`, /expected a readable file, found ENOENT/],
    [`image diff a b --gate ${absent}`, /expected a readable file, found ENOENT/],
    [`image verify --key ${absent}`, /expected a public key.*, found ENOENT/],
    [`image build --sign ${absent}`, /expected a private key.*, found ENOENT/],
    [
      `image build --secure-boot-key ${absent} --secure-boot-cert ${absent}`,
      /key: .*found ENOENT\n.*certificate: .*found ENOENT/,
    ],
    [`image diff a b --html ${absent}/page.html`, /--html: expected a file in a folder that is there/],
    [`image archive pull ${absent}`, /target: expected .*, found /],
  ],
  'a file that is not YAML': [
    [`fleet up --config ${badYaml}`, /line 2.*expected JSON or YAML/],
    [`image diff a b --gate ${badYaml}`, /line 2.*expected JSON or YAML/],
  ],
  'a number out of range': [
    ['start --timeout 0', /expected seconds above 0, at most 86400/],
    ['start --timeout 1e300', /expected seconds above 0, at most 86400/],
    ['image test --timeout -1', /expected seconds above 0, at most 86400/],
    ['image test --timeout 86401', /expected seconds above 0, at most 86400/],
    ['image prune --keep 0', /expected a whole number/],
    ['image prune --grace 99999999d', /expected at most 3650d/],
    ['image promote --channel prod --after dev --soak 3651d', /expected at most 3650d/],
  ],
  'a name that is none': [
    ['image publish --region Nowhere', /expected (a region|regions) such as eu-west-1/],
    ['image publish --region Nowhere --dry-run', /expected (a region|regions) such as eu-west-1/],
    ['image publish --copy-to eu-west-1,nowhere --dry-run', /expected (a region|regions) such as eu-west-1/],
    ['image prune --region nowhere', /expected (a region|regions) such as eu-west-1/],
    ['image promote --channel prod --region nowhere', /expected (a region|regions) such as eu-west-1/],
    ['image revert --channel prod --region nowhere', /expected (a region|regions) such as eu-west-1/],
    ['image history --channel prod --region nowhere', /expected (a region|regions) such as eu-west-1/],
    [
      'image history --channel prod --region eu-west-1,eu-west-2',
      /expected (a region|regions) such as eu-west-1/,
    ],
    ['image publish --share 12345 --dry-run', /--share: expected accounts of twelve digits/],
    ['image history --channel Prod', /expected lower-case letters/],
    ['image archive pull ftp://host/x', /expected a directory, file:/],
    ['image build --archive ftp://host/x', /expected a directory, file:/],
    ['image lock --check --archive ftp://host/x', /expected a directory, file:/],
    ['test no-such-test-file', /path: expected .*, found no-such-test-file/],
    ['mutate no-such-mutant', /part: expected .*, found no-such-mutant/],
  ],
  'a place that cannot be written': [
    [
      'image archive push /proc/x',
      /target: expected a directory that can be written to, found (ENOENT|EACCES)/,
    ],
  ],
}

for (const [what, lines] of Object.entries(MISTAKES)) {
  test(`${what} is exit status 2 in every command, and no result is printed`, async () => {
    for (const [line, says] of lines) {
      const { status, stdout, stderr } = await mailfleet(line.split(' '))
      assert.equal(status, 2, `${line}: ${stderr}`)
      assert.equal(stdout, '', line)
      assert.match(stderr, says, line)
    }
  })
}

test('an invalid region in the environment is refused, with and without --dry-run', async () => {
  for (const args of [
    ['image', 'publish', 'no-such', '--dry-run'],
    ['image', 'history', '--channel', 'prod'],
  ]) {
    const { status, stderr } = await mailfleet(args, { AWS_REGION: 'Nowhere' })
    assert.equal(status, 2, stderr)
    assert.match(stderr, /AWS_REGION: expected a region such as eu-west-1.*, found Nowhere/)
  }
})

test('lock --check exits 3 when the mirror is down or its answer cannot be read', async (t) => {
  const down = await mailfleet(['image', 'lock', '--check'])
  assert.equal(down.status, 3, down.stderr)
  assert.equal(down.stdout, '')
  assert.match(down.stderr, /could not tell whether the mirror has moved on/)
  const server = createServer((_, response) => response.end('not a Release'))
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`
  const unreadable = await mailfleet(['image', 'lock', '--check', '--json'], { MAILFLEET_MIRROR: mirror })
  assert.equal(unreadable.status, 3, unreadable.stderr)
  assert.match(unreadable.stderr, /could not tell whether the mirror has moved on/)
})

test('prune’s help gives the default of --grace in days', async () => {
  const { stdout } = await mailfleet(['image', 'prune', '--help'])
  assert.match(stdout.replace(/\s+/g, ' '), /--grace <time> .*\(default: 14 days\)/)
})

test('--version prints the version of package.json', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.deepEqual(await mailfleet(['--version']), { status: 0, stdout: `${version}\n`, stderr: '' })
})
