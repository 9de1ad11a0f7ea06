// Opens files over HTTP as streams. Owns: the meaning of status codes and Retry-After, the timeout without data, and the
// proxy that the host's apt uses. Fails with FileSourceError, or with fetch's own error, whose cause has the reason.
import http from 'node:http'
import { Readable } from 'node:stream'
import { runProgram } from '../../platform/run-program.ts'
import { FileSourceError } from './file-source.ts'

/** Time without a byte after which a connection counts as dead. A slow line still delivers some bytes. */
const STALL_MS = 20_000

/**
 * Opens `url`. Returns null when there is no such file (404, 410).
 * @throws {FileSourceError} for any other status than 2xx; {Error} when there is no answer. The stream fails likewise when it ends early.
 */
export async function openHttp(url: string, stallMs = STALL_MS): Promise<Readable | null> {
  const silence = new AbortController()
  const timer = setTimeout(
    () => silence.abort(new FileSourceError(`no byte for ${stallMs / 1000} s`)),
    stallMs,
  ).unref()
  try {
    const response = await fetch(url, { signal: silence.signal })
    if (response.ok && response.body)
      return Readable.from(watched(response.body, timer), { objectMode: false })
    clearTimeout(timer)
    await response.body?.cancel()
    if (response.status === 404 || response.status === 410) return null
    throw new FileSourceError(`HTTP ${response.status}`, retryAfterMs(response.headers.get('retry-after')))
  } catch (error) {
    clearTimeout(timer)
    throw error
  }
}

async function* watched(body: AsyncIterable<Uint8Array>, timer: NodeJS.Timeout): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      timer.refresh()
      yield chunk
    }
  } finally {
    clearTimeout(timer)
  }
}

/** RFC 9110 10.2.3: seconds, or a date. */
export function retryAfterMs(header: string | null, nowMs = Date.now()): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - nowMs
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

let proxySet = false

/**
 * Makes this process use the proxy of the environment (http_proxy, https_proxy), else apt's (apt.conf(5),
 * Acquire::http::Proxy). Loopback addresses stay direct. Only the first call has an effect.
 */
export async function useHostProxy(env: NodeJS.ProcessEnv = process.env): Promise<void> {
  if (proxySet) return
  proxySet = true
  const apt = aptProxy(await runProgram(['apt-config', 'dump']).catch(() => ''))
  const proxies = {
    http_proxy: env['http_proxy'] ?? env['HTTP_PROXY'] ?? apt.http,
    https_proxy: env['https_proxy'] ?? env['HTTPS_PROXY'] ?? apt.https,
  }
  const given = Object.entries(proxies).filter(([, address]) => address !== undefined && address !== '')
  if (given.length === 0) return
  const direct = ['localhost', '127.0.0.1', '::1', env['no_proxy'] ?? env['NO_PROXY'] ?? '']
  http.setGlobalProxyFromEnv({
    ...Object.fromEntries(given),
    no_proxy: direct.filter((host) => host !== '').join(','),
  })
}

/** The proxies for all hosts in the output of `apt-config dump`. `DIRECT` means none. */
export function aptProxy(dump: string): { http?: string; https?: string } {
  const of = (scheme: string) => {
    const address = new RegExp(`^Acquire::${scheme}::Proxy "([^"]*)";$`, 'mi').exec(dump)?.[1] ?? ''
    return /^https?:\/\//.test(address) ? address : undefined
  }
  // apt uses the proxy of http for https as well, unless https has its own.
  const [plain, secure] = [of('http'), of('https') ?? of('http')]
  return {
    ...(plain === undefined ? {} : { http: plain }),
    ...(secure === undefined ? {} : { https: secure }),
  }
}
