// The queue pulse's entry: EventBridge Scheduler invokes `handler` once a minute. It runs outside the group, so that a
// broken fleet cannot stop it. Owns: the loop over the slots and the log.
// Fails, and so counts in the function's Errors, on bad settings or when CloudWatch did not take a slot.
import { setTimeout as sleep } from 'node:timers/promises'
import { slotsUntil } from '../../contract/pulse-slots.ts'
import { errorText } from '../lambda/client-options.ts'
import { pulseClients, workSlot, type SlotReport } from './pulse.ts'
import { readPulseSettings } from './settings.ts'

const settings = readPulseSettings(process.env)
const clients = pulseClients()

/**
 * Works each slot of the invocation at its start. A failed slot does not stop the next one.
 * @param context Lambda's context; only the remaining time is used
 * @throws after the last slot, if CloudWatch did not take one
 */
export async function handler(
  _event: unknown,
  context: { getRemainingTimeInMillis(): number },
): Promise<void> {
  const nowMs = Date.now()
  const failures: string[] = []
  for (const slotMs of slotsUntil(nowMs, nowMs + context.getRemainingTimeInMillis())) {
    await sleep(Math.max(0, slotMs - Date.now()))
    try {
      logSlot(slotMs, await workSlot(clients, settings, slotMs))
    } catch (error) {
      failures.push(errorText(error))
    }
  }
  if (failures.length > 0)
    throw new Error(`CloudWatch did not take ${failures.length} slots: ${failures.at(-1)}`)
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
