// Faults of AWS for tests: HTTP proxies in front of the emulators. Owns: the names of calls, and the ways in which one can
// fail. A call without a fault passes unchanged.
import { once } from 'node:events'
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoints } from './aws-queue.ts'

/** `name` as in the API: SendMessage, UpdateItem, PutObject. */
export type Call = { service: keyof Endpoints; name: string; path: string; body: Buffer }

export type AwsFault =
  /** The connection breaks before the service gets the call. */
  | 'cut'
  /** The service does the call, and the connection breaks before the answer. */
  | 'lose'
  /** The service answers with an error. */
  | { status: number; code: string; message?: string }
  /** The service answers late. */
  | { delayMs: number }

export type AwsProxy = {
  /** For `aws.endpoints` of the client under test. */
  endpoints: Endpoints
  /** Decides on every call; null passes it on. The test may replace it at any time. */
  fault: (call: Call) => AwsFault | null
  /** The calls so far, such as `sqs SendMessage`. */
  calls: string[]
  stop: () => Promise<void>
}

export const UNAVAILABLE: AwsFault = { status: 503, code: 'ServiceUnavailable' }
export const THROTTLED: AwsFault = { status: 400, code: 'ThrottlingException' }

/** Starts a proxy in front of each service. */
export async function startAwsProxy(targets: Endpoints): Promise<AwsProxy> {
  const agent = new Agent({ keepAlive: true })
  const stopping = new AbortController()
  const servers: Server[] = []
  const proxy: AwsProxy = {
    endpoints: { sqs: '', s3: '', dynamodb: '' },
    fault: () => null,
    calls: [],
    stop: async () => {
      stopping.abort()
      agent.destroy()
      for (const server of servers) server.closeAllConnections()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
  for (const service of ['sqs', 's3', 'dynamodb'] as const) {
    const server = createServer((asked, answer) => {
      handle(
        { asked, answer, service, target: targets[service], agent, signal: stopping.signal },
        proxy,
      ).catch(() => asked.destroy())
    })
    servers.push(server.listen(0, '127.0.0.1'))
    await once(server, 'listening')
    proxy.endpoints[service] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  return proxy
}

/** Gives the fault to the calls with this name numbered `from` to `from + times - 1`, counted from 1. */
export function faultOf(
  name: string,
  fault: AwsFault,
  { from = 1, times = Infinity } = {},
): AwsProxy['fault'] {
  let seen = 0
  return (call) => {
    if (call.name !== name) return null
    seen++
    return seen >= from && seen < from + times ? fault : null
  }
}

type Handled = {
  asked: IncomingMessage
  answer: ServerResponse
  service: keyof Endpoints
  target: string
  agent: Agent
  signal: AbortSignal
}

async function handle(
  { asked, answer, service, target, agent, signal }: Handled,
  proxy: AwsProxy,
): Promise<void> {
  const body = Buffer.concat(await asked.toArray())
  const path = asked.url ?? '/'
  const name = nameOf(asked)
  proxy.calls.push(`${service} ${name}`)
  const fault = proxy.fault({ service, name, path, body })
  if (fault === 'cut') return void asked.socket.destroy()
  if (fault !== null && typeof fault === 'object' && 'status' in fault) return refuse(answer, service, fault)
  if (fault !== null && typeof fault === 'object') await sleep(fault.delayMs, undefined, { signal })
  const options = { agent, method: asked.method, headers: asked.headers }
  const passed = request(new URL(path, target), options).end(body)
  answer.on('close', () => passed.destroy())
  const [come] = (await once(passed, 'response')) as [IncomingMessage]
  if (fault === 'lose') {
    await come.toArray()
    return void asked.socket.destroy()
  }
  answer.writeHead(come.statusCode ?? 502, come.headers)
  come.pipe(answer)
}

const OBJECT_CALLS: Record<string, string> = { PUT: 'PutObject', GET: 'GetObject', DELETE: 'DeleteObject' }

function nameOf({ headers, method = '' }: IncomingMessage): string {
  const target = headers['x-amz-target']
  return typeof target === 'string' ? (target.split('.').at(-1) ?? '') : (OBJECT_CALLS[method] ?? method)
}

type Refusal = Extract<AwsFault, { status: number }>

function refuse(answer: ServerResponse, service: string, { status, code, message = 'as told' }: Refusal) {
  const [type, text] =
    service === 's3'
      ? [
          'application/xml',
          `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
        ]
      : ['application/x-amz-json-1.0', JSON.stringify({ __type: `com.amazonaws#${code}`, message })]
  answer.writeHead(status, { 'content-type': type }).end(text)
}
