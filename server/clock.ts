// Steps of the wall clock. Owns: telling a clock that was set from time that passed, by comparing it with the monotonic
// clock, which no step moves. Cannot fail.

/** A clock is slewed by at most 0.5 ms a second, so what differs by more between two looks is a step. */
const STEP_MS = 1_000

/**
 * Looks at both clocks.
 * @returns what tells by how many ms the wall clock was stepped since the call before; 0 if it was not
 */
export function createClockStepDetector(now: () => number, monotonic: () => number): () => number {
  let offsetMs = now() - monotonic()
  return () => {
    const found = now() - monotonic()
    const stepMs = found - offsetMs
    offsetMs = found
    return Math.abs(stepMs) < STEP_MS ? 0 : stepMs
  }
}

/** Between two looks of {@link watchClockSteps}. */
const LOOK_MS = 1_000

/** Tells of every step of this machine's clock. @returns what stops it */
export function watchClockSteps(onStep: (stepMs: number) => void): () => void {
  const stepped = createClockStepDetector(Date.now, () => performance.now())
  const timer = setInterval(() => {
    const stepMs = stepped()
    if (stepMs !== 0) onStep(stepMs)
  }, LOOK_MS)
  timer.unref()
  return () => clearInterval(timer)
}
