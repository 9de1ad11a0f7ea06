// The queue pulse's entry: AWS Lambda calls `handler` once a minute, from outside the group, so that a broken fleet
// cannot silence the signal that must heal it. Owns: the walk through the slots, and the log.
// Fails (and so shows in the function's Errors) when its settings are bad, or when CloudWatch did not take a slot.
import { setTimeout as sleep } from 'node:timers/promises'
import { pulseClients, errorText, workSlot, type SlotReport } from './pulse.ts'
import { readPulseSettings } from './settings.ts'
import { slotsUntil } from '../../contract/pulse-slots.ts'

const settings = readPulseSettings(process.env)
const clients = pulseClients()

/**
 * Works the slots of its time, each at its start; a slot that fails does not keep the next one from being worked.
 * @param context Lambda's; only the time that is left is of interest
 * @throws after the last slot, if CloudWatch did not take one
 */
export async function handler(
  _event: unknown,
  context: { getRemainingTimeInMillis(): number },
): Promise<void> {
  const nowMs = Date.now()
  const lost: string[] = []
  for (const slotMs of slotsUntil(nowMs, nowMs + context.getRemainingTimeInMillis())) {
    await sleep(Math.max(0, slotMs - Date.now()))
    try {
      logSlot(slotMs, await workSlot(clients, settings, slotMs))
    } catch (error) {
      lost.push(errorText(error))
    }
  }
  if (lost.length > 0) throw new Error(`CloudWatch did not take ${lost.length} slots: ${lost.at(-1)}`)
}

/** Thirteen lines of about 250 bytes a minute: 140 MB a month. */
function logSlot(slotMs: number, { values, failed, unreadable }: SlotReport): void {
  const slot = new Date(slotMs).toISOString()
  console.log(
    JSON.stringify(
      failed === undefined ? { event: 'measured', slot, ...values } : { event: 'failed', slot, why: failed },
    ),
  )
  if (unreadable.length > 0) {
    console.error(JSON.stringify({ event: 'unreadable-reports', slot, reports: unreadable.slice(0, 10) }))
  }
}
