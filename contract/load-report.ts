// The load report of an instance: one item of the fleet's DynamoDB table. The instance writes it while it has something to
// report, and the queue pulse reads it.

/** Partition key of all load reports. The sort key is the instance's id. */
export const LOAD_PARTITION = 'load'

export type LoadReportAttribute =
  | 'pk'
  | 'sk'
  /** When it was written, ms since the epoch. */
  | 'atMs'
  /** Messages refused within the window that another instance could have taken. */
  | 'refused'
  /** Refusals within the window because something is full or broken. Older releases do not write it. */
  | 'faults'
  /** Queue entries of an unknown version that the instance has seen. */
  | 'unknownVersion'
  /** When DynamoDB may delete it, s since the epoch. */
  | 'ttl'
