// The value of a kernel parameter that several files set.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { effectiveSysctls } from '../../../images/describe/sysctls.ts'

test('later names come later, a file in /etc replaces its namesake, slashes become dots', () => {
  const files = new Map([
    ['usr/lib/sysctl.d/10-a.conf', 'kernel.sysrq = 1\n; no\n# no = 1\nnet/ipv4/conf/eth0.1/rp_filter=1\n'],
    ['usr/lib/sysctl.d/50-b.conf', 'fs.suid_dumpable=2\nvm.swappiness = 1'],
    ['etc/sysctl.d/50-b.conf', '-fs.suid_dumpable = 0'],
    ['usr/lib/sysctl.d/60-c.conf', 'kernel.sysrq=0'],
    ['usr/lib/elsewhere/99-d.conf', 'kernel.sysrq=9'],
  ])
  assert.deepEqual(effectiveSysctls(files), {
    'fs.suid_dumpable': '0',
    'kernel.sysrq': '0',
    'net.ipv4.conf.eth0/1.rp_filter': '1',
  })
})
