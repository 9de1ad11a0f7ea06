// dynalite, a DynamoDB in memory, brings no types. Owns: what the tests use of it.
declare module 'dynalite' {
  import type { Server } from 'node:http'

  /** @param options.createTableMs how long a table is CREATING, by default 500 */
  export default function dynalite(options: { createTableMs?: number }): Server
}
