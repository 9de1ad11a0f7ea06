// Chooses KVM if it works on this machine, else emulation.
// Some hosts offer a /dev/kvm on which no firmware boots, so the probe starts the firmware and waits for its first output.
// Fails only if the caller demands KVM and it does not work.
import { accessSync, constants } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startMachine } from './machine.ts'
import type { Accel } from './arguments.ts'

/** The firmware clears the screen about a second after power-on under KVM. */
const FIRST_WORD_MS = 10_000
const LOOK_EVERY_MS = 50

/**
 * Chooses the accelerator for `wanted` on this machine.
 * @param probe whether KVM works; called only when the answer matters
 * @throws {Error} if `kvm` is demanded and does not work.
 */
export async function chooseAccel(wanted: Accel | 'auto', probe: () => Promise<boolean>): Promise<Accel> {
  if (wanted === 'tcg') return 'tcg'
  if (await probe()) return 'kvm'
  if (wanted === 'auto') return 'tcg'
  throw new Error('KVM is demanded, but /dev/kvm cannot be used or the firmware does not start under it')
}

/** Whether the firmware starts under KVM. Takes about a second if it does, less if it cannot. */
export async function probeKvm(workDir: string): Promise<boolean> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return false
  }
  // STOP means that the host cannot run this virtual CPU. Nothing else stops a machine so early.
  let stopped = false
  const onEvent = (name: string) => (stopped ||= name === 'STOP')
  try {
    const running = await startMachine({ accel: 'kvm', disks: [], memoryMiB: 256 }, { workDir, onEvent })
    const deadline = performance.now() + FIRST_WORD_MS
    while (running.console.silent() && !stopped && !running.hasEnded() && performance.now() < deadline) {
      await sleep(LOOK_EVERY_MS)
    }
    const spoke = !running.console.silent()
    await running.kill()
    return spoke
  } catch {
    return false
  }
}
