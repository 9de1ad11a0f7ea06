// Stores the delivery state of tracked entries in DynamoDB, one item each. Owns: the conditions for a change, so that at
// most one holder works on an entry and no finished step repeats. A write whose answer was lost can be repeated: the
// holder's token identifies it. Fails with the SDK's error; an unmet condition is a return value.
import { gunzipSync, gzipSync } from 'node:zlib'
import { GetItemCommand, UpdateItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb'
import { dynamoClient, type AwsSettings } from '../../aws/clients.ts'
import type { Destination } from '../entry.ts'
import type { SqsMessage } from './message.ts'

/** Messages that a settled entry must still send before its own message is deleted. */
export type PendingSends = { notice?: SqsMessage; copy?: { generation: number; dueMs: number } }

/** The state that ends a lease. Without `destinations` they stay as stored. */
export type SettledState = {
  generation: number
  done: boolean
  destinations?: Destination[] | undefined
  unfinished?: PendingSends | undefined
}

export type ClaimResult =
  | { kind: 'claimed'; destinations: Destination[] }
  /** Only pending sends, if any, and the deletion of the message are left. */
  | { kind: 'done' | 'moved'; generation: number; unfinished: PendingSends | undefined }
  | { kind: 'held'; untilMs: number }

/**
 * An item must outlive every message of its entry. SQS keeps a message for 14 days in `deferred`, then 14 in
 * `ready`. Nothing writes the item during that time.
 */
const KEPT_SECONDS = 60 * 86_400

export type DeliveryStates = Awaited<ReturnType<typeof openDeliveryStates>>

/** @param now ms since the epoch, the same clock on all instances */
export async function openDeliveryStates(aws: AwsSettings, table: string, now: () => number) {
  const items = await openItems(aws, table, now)
  const { read, change, close } = items

  return {
    /** Whether the entry has been removed: no instance may work on it again. */
    isDone: async (id: string): Promise<boolean> => (await read(id))?.['done'] !== undefined,

    /** @throws if DynamoDB refuses a write. */
    probe: async (): Promise<void> => {
      await change('probe', {}, { condition: 'attribute_not_exists(#holder)', values: {} })
    },

    /** Leases the entry to `token`, unless its `generation` is past or another token holds it. Creates the item. */
    claim: (id: string, wanted: Wanted): Promise<ClaimResult> => claim(items, now(), id, wanted),

    /** False: the lease was lost. */
    extend: (id: string, token: string, heldUntilMs: number): Promise<boolean> =>
      whileHeld(items, { id, token }, { heldUntilMs: number(heldUntilMs) }),

    /** False: the lease was lost. */
    record: (id: string, token: string, destinations: Destination[]): Promise<boolean> =>
      whileHeld(items, { id, token }, { destinations: packed(destinations) }),

    /** False: the lease was lost. */
    release: (id: string, token: string): Promise<boolean> => whileHeld(items, { id, token }, {}, HOLDING),

    /** Ends the lease. False: it was lost. */
    settle: (id: string, token: string, settled: SettledState): Promise<boolean> =>
      settle(items, id, token, settled),

    /** The pending sends of `generation` are done. */
    clearPendingSends: async (id: string, generation: number): Promise<void> => {
      const condition = '#generation = :generation AND attribute_exists(#unfinished)'
      const sets = { generation: number(generation) }
      await change(id, sets, { condition, values: {}, remove: ['unfinished'] })
    },

    close,
  }
}

type Items = Awaited<ReturnType<typeof openItems>>

/** Reads items, and changes them under a condition. */
async function openItems(aws: AwsSettings, table: string, now: () => number) {
  const client = await dynamoClient(aws)
  const keyOf = (id: string) => ({ pk: { S: `envelope#${id}` }, sk: { S: 'state' } })

  return {
    read: async (id: string): Promise<Item | undefined> => {
      const item = { TableName: table, Key: keyOf(id), ConsistentRead: true }
      return (await client.send(new GetItemCommand(item))).Item
    },

    /** The item after the change; undefined if the condition was not met. */
    change: async (id: string, sets: Item, more: Change): Promise<Item | undefined> => {
      const all = { ...sets, ttl: number(Math.ceil(now() / 1_000) + KEPT_SECONDS) }
      const expression = expressionOf(Object.keys(all), more)
      const command = new UpdateItemCommand({
        TableName: table,
        Key: keyOf(id),
        UpdateExpression: expression,
        ConditionExpression: more.condition,
        // Every name has a # prefix, because some names are reserved words.
        ExpressionAttributeNames: namesIn(expression, more.condition),
        ExpressionAttributeValues: { ...prefixed(all), ...more.values },
        ReturnValues: 'ALL_NEW',
      })
      try {
        return (await client.send(command)).Attributes ?? {}
      } catch (error) {
        if ((error as Error).name === 'ConditionalCheckFailedException') return undefined
        throw error
      }
    },

    close: () => client.destroy(),
  }
}

async function claim(
  { change, read }: Items,
  nowMs: number,
  id: string,
  wanted: Wanted,
): Promise<ClaimResult> {
  const sets = {
    generation: number(wanted.generation),
    holder: text(wanted.token),
    heldUntilMs: number(wanted.heldUntilMs),
  }
  const values = { ':now': number(nowMs), ':first': packed(wanted.destinations) }
  const claimed = await change(id, sets, { condition: CLAIMABLE, values, first: 'destinations' })
  if (claimed === undefined) return refusalOf(await read(id), wanted.generation)
  return { kind: 'claimed', destinations: unpacked<Destination[]>(claimed['destinations']) ?? [] }
}

async function whileHeld(
  { change }: Items,
  { id, token }: { id: string; token: string },
  sets: Item,
  remove: string[] = [],
) {
  const held = { condition: '#holder = :token', values: { ':token': text(token) }, remove }
  return (await change(id, sets, held)) !== undefined
}

async function settle(items: Items, id: string, token: string, settled: SettledState): Promise<boolean> {
  const { generation, done, destinations, unfinished } = settled
  const sets = {
    generation: number(generation),
    settledBy: text(token),
    ...(done ? { done: { BOOL: true } } : {}),
    ...(destinations === undefined ? {} : { destinations: packed(destinations) }),
    ...(unfinished === undefined ? {} : { unfinished: packed(unfinished) }),
  }
  if (await whileHeld(items, { id, token }, sets, HOLDING)) return true
  // True if our own write succeeded and only its answer was lost.
  return (await items.read(id))?.['settledBy']?.S === token
}

type Item = Record<string, AttributeValue>

type Wanted = { token: string; generation: number; heldUntilMs: number; destinations: Destination[] }

/** `first`: an attribute that becomes :first if it does not exist. */
type Change = { condition: string; values: Item; remove?: string[]; first?: string }

const HOLDING = ['holder', 'heldUntilMs']

/** Not removed, not past this generation, and without a holder, with an expired lease, or with our own lease. */
const CLAIMABLE = [
  'attribute_not_exists(#done)',
  '(attribute_not_exists(#generation) OR #generation <= :generation)',
  '(attribute_not_exists(#holder) OR #heldUntilMs <= :now OR #holder = :holder)',
].join(' AND ')

function refusalOf(item: Item | undefined, wanted: number): ClaimResult {
  const generation = Number(item?.['generation']?.N ?? 0)
  const unfinished = unpacked<PendingSends>(item?.['unfinished'])
  if (item?.['done'] !== undefined) return { kind: 'done', generation, unfinished }
  if (generation > wanted) return { kind: 'moved', generation, unfinished }
  // Released between the two calls, so its lease counts as expired.
  return { kind: 'held', untilMs: Number(item?.['heldUntilMs']?.N ?? 0) }
}

function expressionOf(names: string[], { first, remove = [] }: Change): string {
  const sets = names.map((name) => `#${name} = :${name}`)
  if (first !== undefined) sets.push(`#${first} = if_not_exists(#${first}, :first)`)
  const removes = remove.map((name) => `#${name}`)
  return `SET ${sets.join(', ')}${removes.length === 0 ? '' : ` REMOVE ${removes.join(', ')}`}`
}

function namesIn(...expressions: string[]): Record<string, string> {
  const found = expressions.join(' ').match(/#\w+/g) ?? []
  return Object.fromEntries(found.map((name) => [name, name.slice(1)]))
}

function prefixed(item: Item): Item {
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [`:${name}`, value]))
}

const number = (value: number): AttributeValue => ({ N: String(value) })
const text = (value: string): AttributeValue => ({ S: value })

/** Compressed, because an item takes 400 KB: hundreds of destinations with their last replies need more as text. */
function packed(value: Destination[] | PendingSends): AttributeValue {
  return { B: gzipSync(JSON.stringify(value)) }
}

function unpacked<T>(value: AttributeValue | undefined): T | undefined {
  return value?.B === undefined ? undefined : (JSON.parse(gunzipSync(value.B).toString()) as T)
}
