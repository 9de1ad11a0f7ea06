/** Where a long task says what it is doing: one line at a time, no line break, for people. */
export type Progress = (line: string) => void
