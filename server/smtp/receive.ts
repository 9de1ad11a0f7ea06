// Receives the bytes of one message. Owns: the memory limits of one message and of all messages together.
// Past a limit it returns a refusal. It throws only when the client disconnects during the message.
import type { Config } from '../config/schema.ts'
import { createNormaliser } from '../message.ts'
import type { LoadMonitor } from './admission.ts'
import { refusals, type SmtpRefusal } from './refusal.ts'

/** Block sizes. A new block is as large as all blocks before it, so that at most half of the memory is unused. */
const MIN_BLOCK_BYTES = 4_096
const MAX_BLOCK_BYTES = 65_536

/** The bytes of one message. They count in {@link LoadMonitor}'s `bufferedBytes` until `release`. */
export type MessageBuffer = {
  add: (chunk: Buffer) => void
  sizeBytes: () => number
  first: () => number | undefined
  /** Concatenates `before` and all bytes. The buffer is empty afterwards, but its bytes still count. */
  join: (before: readonly Buffer[]) => Buffer
  /** Stops counting the bytes. The joined message must be stored or refused by then. */
  release: () => void
}

/**
 * Copies chunks into blocks. A client can send chunks of a few bytes; kept as they are, these would take some fifty
 * times their size.
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
 * Reads DATA to its end into `blocks`, with normalised line endings. Past a limit it reads on but keeps nothing, since
 * SMTP allows a reply only after the end of the message.
 * @throws when the client disconnects during the message.
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
