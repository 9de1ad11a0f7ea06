// How long an alarm of CloudWatch looks back, from a number of slots of 10 s. Owns: CloudWatch's bounds on it.
// Pure; a window that CloudWatch cannot keep is undefined.

/** The slots of the pulse, seconds. */
const SLOT_SECONDS = 10
/** Data points of less than a minute are kept for three hours ("Metrics retention"). */
const FINE_SECONDS = 3 * 3600
/** The most that an alarm with periods below an hour may look back (PutMetricAlarm, Period). */
const MAX_SECONDS = 24 * 3600

/**
 * Period, in seconds, and number of periods of an alarm over so many slots. Beyond three hours the periods are
 * minutes: with the statistic Minimum it is still every slot that has to breach.
 */
export function alarmWindow(slots: number): { period: number; evaluationPeriods: number } | undefined {
  const seconds = slots * SLOT_SECONDS
  if (seconds > MAX_SECONDS) return undefined
  if (seconds <= FINE_SECONDS) return { period: SLOT_SECONDS, evaluationPeriods: slots }
  return { period: 60, evaluationPeriods: Math.ceil(seconds / 60) }
}
