// Loads routes from an S3 object that all instances of a fleet share, and reloads them when it changes. Never fails: a
// broken table or an outage is reported and the last good table stays in use. Before the first table, mail gets a 451.
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import { InputError } from '../../input/problems.ts'
import { awsErrorFields } from '../aws/errors.ts'
import type { ReloadReport, RoutesCheck, RouteSource } from './file-source.ts'
import { loadRoutes } from './load.ts'
import { MAX_ROUTES_BYTES, routesTooLarge } from './routes-text.ts'
import type { Routes } from './table.ts'

type S3SourceOptions = {
  client: S3Client
  bucket: string
  key: string
  /** Time between two polls. Before the first table it is at most a second. */
  pollMs: number
  check: RoutesCheck
  /** Called for every new table and every failed poll. */
  onReload: (report: ReloadReport) => void
}

/** An instance without a table polls more often, since it accepts no mail until it has one. */
const FIRST_POLL_MS = 1_000

/**
 * Starts polling the object, and returns before the first answer. S3 replaces an object as a whole ("Amazon S3 data
 * consistency model"), so a table is never half-written.
 */
export async function openS3Source(options: S3SourceOptions): Promise<RouteSource> {
  const { client, bucket, key, pollMs, check, onReload } = options
  const { GetObjectCommand } = await import('@aws-sdk/client-s3')
  const name = `s3://${bucket}/${key}`
  const closing = new AbortController()
  let routes: Routes | null = null
  /** ETag of the last table read. A broken table is reported once. */
  let etag: string | undefined

  async function poll(): Promise<void> {
    const command = new GetObjectCommand({
      Bucket: bucket,
      Key: key,
      ...(etag === undefined ? {} : { IfNoneMatch: etag }),
    })
    const found = await client.send(command, { abortSignal: closing.signal }).catch(unlessUnchanged)
    if (found === null) return
    const bytes = await readBody(name, found)
    etag = found.ETag
    if (bytes instanceof InputError) throw bytes
    const parsed = await loadRoutes(name, bytes, closing.signal)
    await check(name, parsed)
    routes = parsed
    onReload({ result: 'loaded', domains: routes.size })
  }

  let timer: NodeJS.Timeout
  const follow = async () => {
    try {
      await poll()
    } catch (error) {
      if (closing.signal.aborted) return
      if (error instanceof InputError) onReload({ result: 'broken', error: error.message })
      else onReload({ result: 'unavailable', error: `${name}: ${errorText(error)}` })
    }
    if (closing.signal.aborted) return
    timer = setTimeout(() => void follow(), routes === null ? Math.min(pollMs, FIRST_POLL_MS) : pollMs)
    timer.unref()
  }
  void follow()
  return {
    current: () => routes,
    close: () => {
      closing.abort()
      clearTimeout(timer)
      client.destroy()
    },
  }
}

/** Without the permission to list the bucket, GetObject answers 403 for a missing object as well. */
function errorText(error: unknown): string {
  const text = String(awsErrorFields(error)['error'])
  return error instanceof Error && error.name === 'AccessDenied' ? `${text} (or it is not there)` : text
}

/** The SDK reports 304 as an error. */
function unlessUnchanged(error: unknown): null {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
  if ($metadata?.httpStatusCode === 304) return null
  throw error
}

/** @returns the object's content, or an error if it is too large. Reads no more than the size limit. */
async function readBody(name: string, { Body, ContentLength = 0 }: GetObjectCommandOutput) {
  const stream = Body as AsyncIterable<Uint8Array> & { destroy: () => void }
  const chunks: Uint8Array[] = []
  let bytes = ContentLength
  if (bytes <= MAX_ROUTES_BYTES) {
    bytes = 0
    for await (const chunk of stream) {
      bytes += chunk.length
      if (bytes > MAX_ROUTES_BYTES) break
      chunks.push(chunk)
    }
  }
  if (bytes <= MAX_ROUTES_BYTES) return Buffer.concat(chunks)
  stream.destroy()
  return routesTooLarge(name, bytes)
}
