// Requests to AWS and answers to them, as the proxy before moto passes them on. Owns: how AWS writes an error.
import type { IncomingMessage } from 'node:http'
import type { Refusal } from './ebs-rules.ts'

/** The key of the account. It encrypts a snapshot that names no key. */
export const DEFAULT_KEY = 'arn:aws:kms:eu-west-1:123456789012:key/default'

export type Answer = { status: number; headers: Record<string, string>; body: Buffer }
export type Request = {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: Buffer
  region: string
}

/** An error as EBS and SSM answer it, or as EC2 does. */
export function refusal({ status, code, message, reason }: Refusal, asXml = false): Answer {
  const xml = `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors><RequestID>r</RequestID></Response>`
  return asXml
    ? { status, headers: { 'content-type': 'text/xml' }, body: Buffer.from(xml) }
    : {
        status,
        headers: { 'content-type': 'application/json', 'x-amzn-errortype': code },
        body: Buffer.from(JSON.stringify({ Message: message, message, Reason: reason })),
      }
}
