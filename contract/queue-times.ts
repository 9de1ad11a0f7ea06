// Times of the server's queue that the deployment's SQS queues and bucket must match.

/** How long a lease lasts by default; SQS's visibility timeout. The server extends it while it delivers. */
export const DEFAULT_LEASE_MS = 30_000
/** The longest that a server's configuration may let a message wait for its delivery. */
export const MAX_RETRY_LIFETIME_DAYS = 30
