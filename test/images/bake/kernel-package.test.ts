// The choice of kernel modules, and their loading order.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadingOrder, parseModulesDep } from '../../../images/bake/kernel-package.ts'

const dependencies = parseModulesDep(`kernel/md/dm-mod.ko.xz:
kernel/md/dm-bufio.ko.xz: kernel/md/dm-mod.ko.xz
kernel/md/dm-verity.ko.xz: kernel/lib/reed_solomon.ko.xz kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko.xz
kernel/lib/reed_solomon.ko.xz:
kernel/net/virtio_net.ko.xz: kernel/net/net_failover.ko.xz kernel/net/failover.ko.xz
kernel/net/net_failover.ko.xz: kernel/net/failover.ko.xz
kernel/net/failover.ko.xz:
`)

test('each module comes once, after its dependencies', () => {
  const order = loadingOrder(dependencies, ['dm-verity', 'virtio_net', 'dm_mod'])
  assert.equal(new Set(order).size, order.length)
  assert.equal(order.length, 7)
  for (const [index, path] of order.entries()) {
    for (const needed of dependencies.get(path) ?? [])
      assert.ok(order.indexOf(needed) < index, `${path} before ${needed}`)
  }
})

test('the error lists all modules that the kernel lacks', () => {
  assert.throws(
    () => loadingOrder(dependencies, ['dm-verity', 'nvme', 'e1000']),
    /does not have these modules: nvme, e1000/,
  )
})
