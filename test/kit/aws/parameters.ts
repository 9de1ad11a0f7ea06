// A stand-in for SSM's parameter store: GetParameter, with decryption. Owns: the values, which a test changes as it
// goes. It can be down, or deny what it is asked.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listening } from './listening.ts'

export type ParametersFake = Awaited<ReturnType<typeof startParameters>>

/** Starts it on a free port of 127.0.0.1. `values`: name to value, all of them SecureStrings. */
export async function startParameters(values: Record<string, string>) {
  const state: { values: Record<string, string>; trouble: 'down' | 'denied' | null; asked: number } = {
    values,
    trouble: null,
    asked: 0,
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    state.asked++
    if (state.trouble === 'down') return void request.socket.destroy()
    if (request.headers['x-amz-target'] !== 'AmazonSSM.GetParameter')
      return reply(response, 400, { __type: 'InvalidAction' })
    if (state.trouble === 'denied')
      return reply(response, 400, { __type: 'AccessDeniedException', message: 'not authorized' })
    const { Name = '', WithDecryption } = JSON.parse(body) as { Name?: string; WithDecryption?: boolean }
    const value = state.values[Name]
    if (value === undefined) return reply(response, 400, { __type: 'ParameterNotFound' })
    // Without decryption the real one gives the ciphertext.
    const Value = WithDecryption === true ? value : 'AQICAHh'
    reply(response, 200, { Parameter: { Name, Type: 'SecureString', Value } })
  }

  const { url, close } = await listening((request, response) => void answer(request, response))
  return {
    url,
    state,
    close,
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
  response.end(JSON.stringify(body))
}
