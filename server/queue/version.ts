// The entry formats that this release knows. Owns: the rule that two releases can share a queue.
// A format changes in two releases. The first reads both formats and still writes the old one; the second writes the new
// one. So two neighbouring releases can work on each other's entries. An entry keeps its version when it is rewritten. An
// entry of an unknown version stays queued, untouched and counted.

/** Versions that this release reads and rewrites, ascending. */
export const KNOWN_VERSIONS: readonly number[] = [1]

/** The version of entries that this release creates. */
export const ENTRY_VERSION = 1
