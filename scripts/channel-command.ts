// What the commands that move a channel share: their options, and what they print.
import { InvalidArgumentError } from 'commander'
import { connectAws } from '../images/publish/aws/clients.ts'
import type { ChannelMove } from '../images/publish/channel/move-channel.ts'

export type ChannelFlags = { channel: string; region?: string[]; json?: true }

export type ChannelOptions = { json: boolean; signal: AbortSignal; channel: string; regions?: string[] }

export const CHANNEL = ['--channel <name>', 'the channel, such as prod', channelName] as const
export const JSON_CHANGES = ['--json', 'print what changed as JSON'] as const

/** A channel's name, which becomes part of a parameter's path. @throws {InvalidArgumentError} */
export function channelName(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(text)) return text
  throw new InvalidArgumentError('expected lower-case letters, digits and hyphens.')
}

export const channelOptions = (
  signal: AbortSignal,
  { channel, region, json }: ChannelFlags,
): ChannelOptions => ({
  signal,
  channel,
  json: json ?? false,
  ...(region === undefined ? {} : { regions: region }),
})

/** The clients of one region. */
export const clientsOf = (region: string) => connectAws({ region })

/** The clients of the first region named, or of the environment's. */
export const firstClients = ([region]: readonly string[] = []) =>
  connectAws(region === undefined ? {} : { region })

/** When the command is stopped, prints how it left the channel, then throws on. */
export async function reportingStop<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (signal.aborted) console.error((error as Error).message)
    throw error
  }
}

export function printMoves(moves: readonly ChannelMove[], json: boolean): void {
  if (json) console.log(JSON.stringify(moves, null, 2))
  else
    for (const { parameter, region, from, to } of moves)
      console.log(
        `${parameter} in ${region}: ${from ?? 'nothing'} → ${to}${from === to ? ' (unchanged)' : ''}`,
      )
}
