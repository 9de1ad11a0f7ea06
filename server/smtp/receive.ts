// Takes in the bytes of one message. Owns: how much memory messages may hold, all of them together and one by itself,
// from their first byte until they are stored or refused, and that they hold hardly more than their bytes.
// Past a bound it answers by a refusal; it throws only when the client goes away in the middle.
import type { Config } from '../config/schema.ts'
import { createNormaliser } from '../message.ts'
import type { LoadMonitor } from './admission.ts'
import { refusals, type SmtpRefusal } from './refusal.ts'

/** Smallest and largest block; in between a block is as large as what came before, so that half of it may be unused. */
const MIN_BLOCK_BYTES = 4_096
const MAX_BLOCK_BYTES = 65_536

/** What a message holds, counted in {@link LoadMonitor}'s `bufferedBytes` until it is let go. */
export type MessageBuffer = {
  add: (chunk: Buffer) => void
  sizeBytes: () => number
  /** The first byte, if there is any. */
  first: () => number | undefined
  /** All bytes in order, after `before`. */
  join: (before: readonly Buffer[]) => Buffer
  /** Counted no more; what was joined must be on its way out by then. */
  release: () => void
}

/**
 * Collects bytes in blocks. Kept as they come, chunks of a few bytes each (which a client can see to) would take
 * some fifty times their size.
 */
export function createMessageBuffer(load: Pick<LoadMonitor['load'], 'bufferedBytes'>): MessageBuffer {
  let blocks: Buffer[] = []
  let sizeBytes = 0
  let heldBytes = 0

  function add(chunk: Buffer): void {
    let taken = 0
    while (taken < chunk.length) {
      if (sizeBytes === heldBytes) {
        const block = Buffer.allocUnsafeSlow(Math.min(Math.max(heldBytes, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES))
        blocks.push(block)
        heldBytes += block.length
        load.bufferedBytes += block.length
      }
      const block = blocks.at(-1)!
      const copied = chunk.copy(block, block.length - (heldBytes - sizeBytes), taken)
      taken += copied
      sizeBytes += copied
    }
  }

  return {
    add,
    sizeBytes: () => sizeBytes,
    first: () => blocks[0]?.[0],
    join: (before) => {
      const pieces = [...before, ...blocks]
      blocks = []
      const length = before.reduce((sum, piece) => sum + piece.length, sizeBytes)
      return Buffer.concat(pieces, length)
    },
    release: () => {
      blocks = []
      load.bufferedBytes -= heldBytes
      heldBytes = 0
      sizeBytes = 0
    },
  }
}

/**
 * Reads DATA to its end into `blocks`, normalised. Past a bound it goes on reading but keeps nothing, since only the
 * end of the message can be answered.
 * @throws when the client goes away in the middle.
 */
export async function receiveMessage(
  stream: AsyncIterable<Buffer>,
  blocks: MessageBuffer,
  load: LoadMonitor['load'],
  limits: Pick<Config['limits'], 'messageBytes' | 'bufferedBytes' | 'nulOctets'>,
): Promise<{ eightBit: boolean } | SmtpRefusal> {
  const normaliser = createNormaliser(limits.nulOctets)
  let refusal: SmtpRefusal | null = null
  for await (const chunk of stream) {
    if (refusal !== null) continue
    blocks.add(normaliser.push(chunk))
    if (blocks.sizeBytes() > limits.messageBytes) refusal = refusals.tooLarge
    else if (load.bufferedBytes > limits.bufferedBytes) refusal = refusals.memoryFull
    if (refusal !== null) blocks.release()
  }
  if (refusal !== null) return refusal
  blocks.add(normaliser.end())
  if (normaliser.nul()) return refusals.nulOctet
  return normaliser.smuggling() ? refusals.smuggling : { eightBit: normaliser.eightBit() }
}
