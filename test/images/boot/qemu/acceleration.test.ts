// KVM or emulation: `auto` tries KVM, and the other choices do not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseAccel } from '../../../../images/boot/qemu/acceleration.ts'

const works = () => Promise.resolve(true)
const fails = () => Promise.resolve(false)
const mustNotBeAsked = () => Promise.reject(new Error('asked'))

test('auto takes KVM where it works and emulates where it does not', async () => {
  assert.equal(await chooseAccel('auto', works), 'kvm')
  assert.equal(await chooseAccel('auto', fails), 'tcg')
})

test('emulation on demand tries nothing', async () => {
  assert.equal(await chooseAccel('tcg', mustNotBeAsked), 'tcg')
})

test('KVM on demand fails where it does not work', async () => {
  assert.equal(await chooseAccel('kvm', works), 'kvm')
  await assert.rejects(chooseAccel('kvm', fails), /KVM is demanded/)
})
