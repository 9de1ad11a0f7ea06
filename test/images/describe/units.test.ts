// Unit files as systemd reads them: precedence of folders and drop-ins, resets, masks, aliases, dependencies.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startedUnits, type UnitFiles } from '../../../images/describe/units.ts'

const LIB = 'usr/lib/systemd/system'
const ETC = 'etc/systemd/system'

function files(texts: Record<string, string>, links: Record<string, string> = {}): UnitFiles {
  return new Map<string, { text: string } | { link: string }>([
    ...Object.entries(texts).map(([path, text]) => [path, { text }] as const),
    ...Object.entries(links).map(([path, link]) => [path, { link }] as const),
  ])
}

const boot = {
  [`${ETC}/default.target`]: `/${LIB}/multi-user.target`,
  [`${ETC}/multi-user.target.wants/a-b.service`]: `/${LIB}/a-b.service`,
}

test('units that default.target pulls in are started, through aliases, wants and requires; masked units are not', () => {
  const texts = {
    [`${LIB}/multi-user.target`]: '[Unit]\nRequires=basic.target\nWants=masked.service gone.service\n',
    [`${LIB}/basic.target`]: '[Unit]\nDescription=x\n',
    [`${LIB}/a-b.service`]: '[Unit]\nWants=t@1.service\n[Service]\nExecStart=/bin/a\n',
    [`${LIB}/t@.service`]: '[Service]\nExecStart=/bin/t %i\n',
    [`${LIB}/masked.service`]: '[Service]\n',
    [`${LIB}/idle.service`]: '[Service]\n',
  }
  const found = startedUnits(files(texts, { ...boot, [`${ETC}/masked.service`]: '/dev/null' }))
  assert.deepEqual(Object.keys(found), ['a-b.service', 'basic.target', 'multi-user.target', 't@1.service'])
  assert.deepEqual(found['t@1.service'], { 'Service.ExecStart': ['/bin/t %i'] })
})

test('drop-ins apply in the order of file names; of two with one name the more specific folder’s counts; an empty value resets', () => {
  const texts = {
    [`${LIB}/multi-user.target`]: '',
    [`${LIB}/a-b.service`]: '[Service]\n# no\nExecStart=/bin/a \\\n  --on\nProtectHome=yes\n',
    [`${LIB}/service.d/10-x.conf`]: '[Service]\nUMask=0000\n',
    [`${LIB}/a-b.service.d/10-x.conf`]: '[Service]\nUMask=0077\n',
    [`${LIB}/a-.service.d/20-y.conf`]: '[Service]\nExecStart=\nExecStart=/bin/b\n',
    [`${ETC}/a-b.service.d/30-z.conf`]: '[Service]\nProtectHome=no\n',
  }
  const target = { [`${ETC}/default.target`]: 'a-b.service' }
  assert.deepEqual(startedUnits(files(texts, target)), {
    'a-b.service': {
      'Service.ExecStart': ['/bin/b'],
      'Service.ProtectHome': ['yes', 'no'],
      'Service.UMask': ['0077'],
    },
  })
})
