// How a long task reports its progress.

/** Takes one line for the person who waits, without a line break. */
export type OnProgress = (line: string) => void
