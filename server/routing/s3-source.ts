// Routes from an object in S3, taken up again whenever it changes: the table that all instances of a fleet share.
// Owns: asking only for what has changed, and keeping the last good table through a broken edit or an outage. Never
// fails: until the first table is there, nobody can say an alias is unknown (451), and it goes on asking.
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
  /** How often S3 is asked. While no table has been loaded, once a second or more often. */
  pollMs: number
  check: RoutesCheck
  /** Told of every table found, and of every time that S3 could not say. */
  onReload: (report: ReloadReport) => void
}

/** An instance that has nothing yet asks more often than one that has an old table: it takes no mail until then. */
const FIRST_POLL_MS = 1_000

/**
 * Starts following the object, without waiting for it. S3 replaces an object as a whole ("Amazon S3 data consistency
 * model"), so there is no half-written table to be careful of.
 */
export async function openS3Source(options: S3SourceOptions): Promise<RouteSource> {
  const { client, bucket, key, pollMs, check, onReload } = options
  const { GetObjectCommand } = await import('@aws-sdk/client-s3')
  const name = `s3://${bucket}/${key}`
  const closing = new AbortController()
  let routes: Routes | null = null
  /** Of the last table seen, be it broken: that is reported once. */
  let etag: string | undefined

  async function look(): Promise<void> {
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
      await look()
    } catch (error) {
      if (closing.signal.aborted) return
      if (error instanceof InputError) onReload({ result: 'broken', error: error.message })
      else onReload({ result: 'unavailable', error: `${name}: ${saidOf(error)}` })
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

/** Whoever may not list a bucket is told that access is denied, too, when the object is not there (GetObject's 403). */
function saidOf(error: unknown): string {
  const said = String(awsErrorFields(error)['error'])
  return error instanceof Error && error.name === 'AccessDenied' ? `${said} (or it is not there)` : said
}

/** 304 is an error to the SDK. */
function unlessUnchanged(error: unknown): null {
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
  if ($metadata?.httpStatusCode === 304) return null
  throw error
}

/** The object's content, or what is wrong with its size; more than the bound is not read. */
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
