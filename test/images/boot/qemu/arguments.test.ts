// The arguments for QEMU that describe a machine.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { qemuArguments, type QemuMachine } from '../../../../images/boot/qemu/arguments.ts'

const machine: QemuMachine = {
  accel: 'tcg',
  disks: [
    { name: 'image', file: '/images/a,b/disk.raw', writable: false },
    { name: 'spool', file: '/run/spool.raw', writable: true },
  ],
  network: {
    restrict: true,
    hostToGuest: [25, 9025],
    guestToHost: [{ host: '10.0.2.100', port: 2526, hostPort: 40001 }],
  },
  credentials: { 'mailfleet.config': 'a: 1\n' },
}

/** The values given for an option. */
const valuesOf = (argv: string[], option: string) =>
  argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ''] : []))

test('the image is never written; the spool is, through the host’s cache', () => {
  const drives = valuesOf(qemuArguments(machine, '/run/m'), '-drive')
  const image = drives.find((drive) => drive.includes('id=image'))
  const spool = drives.find((drive) => drive.includes('id=spool'))
  assert.equal(image, 'if=none,id=image,format=raw,snapshot=on,file=/images/a,,b/disk.raw')
  assert.equal(spool, 'if=none,id=spool,format=raw,cache=writeback,file=/run/spool.raw')
})

test('firmware code is read-only, its variables are the machine’s own', () => {
  const flash = valuesOf(qemuArguments(machine, '/run/m'), '-drive').filter((drive) =>
    drive.startsWith('if=pflash'),
  )
  assert.equal(flash.length, 2)
  assert.match(flash[0] ?? '', /readonly=on,file=\/usr\/share\/OVMF\/OVMF_CODE/)
  assert.equal(flash[1], 'if=pflash,unit=1,format=raw,file=/run/m/vars.fd')
})

test('disks are NVMe, the image boots first, each namespace has a number of its own', () => {
  const devices = valuesOf(qemuArguments(machine, '/run/m'), '-device')
  assert.ok(devices.includes('nvme,id=image-controller,serial=image,bootindex=0'))
  assert.ok(devices.includes('nvme-ns,drive=image,bus=image-controller,nsid=1'))
  assert.ok(devices.includes('nvme-ns,drive=spool,bus=spool-controller,nsid=2'))
})

test('the network is cut but for the ports named', () => {
  const [netdev = ''] = valuesOf(qemuArguments(machine, '/run/m'), '-netdev')
  assert.match(netdev, /^user,id=net,restrict=on,/)
  assert.deepEqual(netdev.match(/hostfwd=[^,]*/g), [
    'hostfwd=tcp:127.0.0.1:0-:25',
    'hostfwd=tcp:127.0.0.1:0-:9025',
  ])
  assert.match(netdev, /guestfwd=tcp:10\.0\.2\.100:2526-cmd:.*guest-relay\.mjs' '40001'$/)
  assert.match(
    valuesOf(
      qemuArguments({ ...machine, network: { ...machine.network!, restrict: false } }, '/m'),
      '-netdev',
    )[0] ?? '',
    /restrict=off/,
  )
})

test('without a network the machine has no network card', () => {
  const argv = qemuArguments({ accel: 'kvm', disks: [] }, '/run/m')
  assert.deepEqual(valuesOf(argv, '-netdev'), [])
  assert.ok(!argv.some((word) => word.includes('virtio-net')))
  assert.deepEqual(valuesOf(argv, '-cpu'), ['host'])
})

test('credentials are SMBIOS strings in base64', () => {
  const [value] = valuesOf(qemuArguments(machine, '/run/m'), '-smbios')
  assert.equal(value, 'type=11,value=io.systemd.credential.binary:mailfleet.config=YTogMQo=')
})

test('the console shows information, except on a machine that passes for one of EC2', () => {
  const extra = /kernel-cmdline-extra=systemd\.journald\.max_level_console=info/
  assert.match(valuesOf(qemuArguments(machine, '/run/m'), '-smbios').join('\n'), extra)
  const asOnEc2 = qemuArguments({ ...machine, maker: 'Amazon EC2' }, '/run/m')
  assert.doesNotMatch(valuesOf(asOnEc2, '-smbios').join('\n'), extra)
})

test('reads are traced only on demand', () => {
  assert.deepEqual(valuesOf(qemuArguments(machine, '/run/m'), '-trace'), [])
  assert.deepEqual(valuesOf(qemuArguments({ ...machine, readTraceFile: '/run/t,1' }, '/m'), '-trace'), [
    'enable=pci_nvme_read,file=/run/t,,1',
  ])
})
