// Which formats of a stored entry this release knows. Owns: the rule that two releases can share a queue.
// A format changes in two releases. The first reads old and new and goes on writing the old one; the second writes the
// new one. So whichever of two neighbouring releases wrote an entry, the other can work on it, forward and back.
// An entry keeps its version as it is rewritten. One of a version that is not here stays queued, untouched and counted.

/** Versions this release reads, and writes back, ascending. */
export const KNOWN_VERSIONS: readonly number[] = [1]

/** The version of entries that this release makes. */
export const ENTRY_VERSION = 1
