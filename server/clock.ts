// Detects steps of the wall clock by comparing it with the monotonic clock, which never steps. Cannot fail.

/** The kernel slews a clock by at most 0.5 ms a second. A larger difference between two samples is a step. */
const STEP_MS = 1_000

/** @returns a function that returns by how many ms the wall clock stepped since its last call; 0 without a step. */
export function createClockStepDetector(now: () => number, monotonic: () => number): () => number {
  let offsetMs = now() - monotonic()
  return () => {
    const found = now() - monotonic()
    const stepMs = found - offsetMs
    offsetMs = found
    return Math.abs(stepMs) < STEP_MS ? 0 : stepMs
  }
}

const SAMPLE_MS = 1_000

/** Calls `onStep` for every step of this machine's clock. @returns a function that stops the timer. */
export function watchClockSteps(onStep: (stepMs: number) => void): () => void {
  const stepped = createClockStepDetector(Date.now, () => performance.now())
  const timer = setInterval(() => {
    const stepMs = stepped()
    if (stepMs !== 0) onStep(stepMs)
  }, SAMPLE_MS)
  timer.unref()
  return () => clearInterval(timer)
}
