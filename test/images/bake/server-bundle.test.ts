// The server's bundle runs without its sources, leaves native packages out, and the error names imports it cannot find.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { bundleServer } from '../../../images/bake/server-bundle.ts'
import { readSpec } from '../../../images/spec.ts'

const root = join(import.meta.dirname, '../../..')
const spec = readSpec(join(root, 'images/image.yaml'))

const versionIn = (name: string) => {
  const text = readFileSync(join(root, `node_modules/${name}/package.json`), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function entryOf(text: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'mailfleet-entry-')), 'entry.ts')
  writeFileSync(file, text)
  return file
}

test('the bundle runs without its sources, with CommonJS packages in it', async () => {
  const smtpServer = JSON.stringify(fileURLToPath(import.meta.resolve('smtp-server')))
  const { files, packages } = await bundleServer(
    spec,
    entryOf(
      `import { SMTPServer } from ${smtpServer}\nconst n: number = 1\nconsole.log(typeof SMTPServer, n)`,
    ),
  )
  assert.ok(
    packages.some(({ name, version }) => name === 'smtp-server' && version === versionIn('smtp-server')),
  )
  const file = join(mkdtempSync(join(tmpdir(), 'mailfleet-bundle-')), 'server.mjs')
  assert.equal(files.length, 1)
  writeFileSync(file, files[0]?.text ?? '')
  assert.equal(execFileSync(process.execPath, [file], { encoding: 'utf8' }), 'function 1\n')
})

test('native packages stay outside the bundle', async () => {
  const { files } = await bundleServer(spec, entryOf("import { open } from 'lmdb'\nconsole.log(open)"))
  assert.match(files[0]?.text ?? '', /from "lmdb"/)
})

test('the same sources give the same bundle', async () => {
  const entry = join(root, 'server/main.ts')
  assert.deepEqual((await bundleServer(spec, entry)).files, (await bundleServer(spec, entry)).files)
})

test('the server’s main file has no code of AWS’s SDK, which is loaded on demand', async () => {
  const { files, packages } = await bundleServer(spec, join(root, 'server/main.ts'))
  assert.equal(files[0]?.name, 'server.mjs')
  assert.ok(packages.some(({ name }) => name === '@aws-sdk/client-sqs'))
  const textOf = (wanted: string) => files.find(({ name }) => name === wanted)?.text ?? ''
  const atOnce = new Set(['server.mjs'])
  for (const name of atOnce)
    for (const [, next = ''] of textOf(name).matchAll(/^(?:import|\}) .*"\.\/(part-\w+\.mjs)";$/gm))
      atOnce.add(next)
  assert.ok(atOnce.size > 1 && atOnce.size < files.length)
  // The bundler writes a comment with the source of each part.
  const withSdk = [...atOnce].filter((name) => /^\/\/ node_modules\/@(aws-sdk|smithy)\//m.test(textOf(name)))
  assert.deepEqual(withSdk, [])
})

test('a module loaded by import() keeps its exported names', async () => {
  const clients = JSON.stringify(join(root, 'server/aws/clients.ts'))
  const text = `import { s3Client } from ${clients}
    s3Client({ region: 'eu-west-1', endpoints: {} }).then((client) => console.log(client.constructor.name))`
  const { files } = await bundleServer(spec, entryOf(text))
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-bundle-'))
  for (const file of files) writeFileSync(join(folder, file.name), file.text)
  assert.equal(
    execFileSync(process.execPath, [join(folder, 'server.mjs')], { encoding: 'utf8' }),
    'S3Client\n',
  )
})

test('the bundle can start a thread that loads a large routes table', async () => {
  const load = JSON.stringify(join(root, 'server/routing/load.ts'))
  const text = `import { loadRoutes } from ${load}
    const aliases = Object.fromEntries(Array.from({ length: 5000 }, (_, n) => ['a' + n, ['a@b.example']]))
    const bytes = Buffer.from(JSON.stringify({ domains: { 'example.org': { aliases } } }))
    loadRoutes('routes', bytes, new AbortController().signal)
      .then((routes) => console.log(routes.get('example.org').size))`
  const { files } = await bundleServer(spec, entryOf(text))
  const folder = mkdtempSync(join(tmpdir(), 'mailfleet-bundle-'))
  for (const file of files) writeFileSync(join(folder, file.name), file.text)
  assert.equal(execFileSync(process.execPath, [join(folder, 'server.mjs')], { encoding: 'utf8' }), '5000\n')
})

test('the error names a missing server and an import that cannot be found', async () => {
  await assert.rejects(bundleServer(spec, '/nonexistent/main.ts'), /\/nonexistent\/main\.ts does not exist/)
  await assert.rejects(bundleServer(spec, entryOf("import './gone.ts'")), /gone\.ts/)
})
