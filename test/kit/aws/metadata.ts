// A stand-in for the EC2 instance metadata service, version 2. Owns: what it answers, which a test changes as it goes,
// and its strictness: no token without a TTL, nothing without a token (version 1 is switched off, as on our instances).
// It can be down (connections are dropped), throttled or slow, and it notes what it was asked.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { listening } from './listening.ts'

export type MetadataState = {
  userData: string | null
  instanceId: string
  region: string
  /** autoscaling/target-lifecycle-state; null: in no group. */
  target: string | null
  /** spot/instance-action; null: no notice. */
  spot: { action: 'terminate' | 'stop'; time: string } | null
  /** Name of the instance's role; null: it has none. */
  role: string | null
  trouble: 'down' | 'throttled' | null
  delayMs: number
}

export type MetadataFake = Awaited<ReturnType<typeof startMetadata>>

/** Starts it on a free port of 127.0.0.1. */
export async function startMetadata(initial: Partial<MetadataState> = {}) {
  const state: MetadataState = {
    userData: null,
    instanceId: 'i-0123456789abcdef0',
    region: 'eu-west-1',
    target: null,
    spot: null,
    role: null,
    trouble: null,
    delayMs: 0,
    ...initial,
  }
  const tokens = new Set<string>()
  const asked: string[] = []

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    asked.push(`${request.method} ${path}`)
    if (state.trouble === 'down') return void request.socket.destroy()
    if (state.delayMs > 0) await sleep(state.delayMs, undefined, { ref: false })
    if (state.trouble === 'throttled') return reply(response, 503, '')
    if (path === '/latest/api/token') return giveToken(request, response, tokens)
    const token = request.headers['x-aws-ec2-metadata-token']
    if (typeof token !== 'string' || !tokens.has(token)) return reply(response, 401, '')
    const text = page(path, state)
    reply(response, text === null ? 404 : 200, text ?? '')
  }

  const { url, close } = await listening((request, response) => void answer(request, response))
  return {
    url,
    state,
    /** Method and path of each request so far. */
    asked,
    /** Makes every token given so far worthless, as a stop of the instance does. */
    forgetTokens: () => tokens.clear(),
    close,
  }
}

function giveToken(request: IncomingMessage, response: ServerResponse, tokens: Set<string>): void {
  const seconds = Number(request.headers['x-aws-ec2-metadata-token-ttl-seconds'])
  if (request.method !== 'PUT' || !(seconds >= 1 && seconds <= 21_600)) return reply(response, 400, '')
  const token = randomBytes(16).toString('base64')
  tokens.add(token)
  response.setHeader('x-aws-ec2-metadata-token-ttl-seconds', `${seconds}`)
  reply(response, 200, token)
}

function page(path: string, state: MetadataState): string | null {
  const credentials = '/latest/meta-data/iam/security-credentials/'
  switch (path) {
    case '/latest/user-data':
      return state.userData
    case '/latest/meta-data/instance-id':
      return state.instanceId
    case '/latest/meta-data/placement/region':
      return state.region
    case '/latest/meta-data/autoscaling/target-lifecycle-state':
      return state.target
    case '/latest/meta-data/spot/instance-action':
      return state.spot === null ? null : JSON.stringify(state.spot)
    case credentials:
      return state.role
    case `${credentials}${state.role}`:
      return JSON.stringify({
        Code: 'Success',
        Type: 'AWS-HMAC',
        AccessKeyId: 'ASIAEXAMPLE',
        SecretAccessKey: 'example',
        Token: 'example',
        LastUpdated: new Date().toISOString(),
        Expiration: new Date(Date.now() + 6 * 3_600_000).toISOString(),
      })
    default:
      return null
  }
}

function reply(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' })
  response.end(text)
}
