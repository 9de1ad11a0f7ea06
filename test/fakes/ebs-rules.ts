// What the EBS direct APIs demand of an upload and an emulator does not: sizes, checksums, counts, order. Owns: the
// state of each snapshot that this takes. A breach is answered as AWS does, with a ValidationException.
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

const BLOCK_BYTES = 512 * 1024

export type Refusal = { status: number; code: string; message: string; reason?: string }

type Stored = { blocks: Map<number, Buffer>; sealed: boolean; looksUntilCompleted: number }

export type EbsRules = ReturnType<typeof ebsRules>

export function ebsRules() {
  const snapshots = new Map<string, Stored>()
  const missing: Refusal = {
    status: 404,
    code: 'ResourceNotFoundException',
    message: 'The snapshot does not exist.',
  }
  const invalid = (message: string): Refusal => ({ status: 400, code: 'ValidationException', message })
  const sha256 = (data: Uint8Array) => createHash('sha256').update(data)

  return {
    started: (id: string) => snapshots.set(id, { blocks: new Map(), sealed: false, looksUntilCompleted: 1 }),
    deleted: (id: string) => snapshots.delete(id),
    blocks: (id: string): Map<number, Buffer> => snapshots.get(id)?.blocks ?? new Map<number, Buffer>(),
    /** What nobody here asked for: as when someone else completes a snapshot with blocks missing. */
    seal: (id: string) => Object.assign(snapshots.get(id)!, { sealed: true, looksUntilCompleted: 0 }),
    /** Whether EC2 still shows it as pending: until it is sealed, and for one look more. */
    isPending: (id: string): boolean => {
      const snapshot = snapshots.get(id)
      return snapshot !== undefined && (!snapshot.sealed || snapshot.looksUntilCompleted-- > 0)
    },
    read: (id: string): Refusal | null => (snapshots.get(id)?.sealed ? null : missing),
    put: (id: string, index: number, headers: IncomingHttpHeaders, body: Buffer): Refusal | null => {
      const snapshot = snapshots.get(id)
      if (!snapshot) return missing
      if (snapshot.sealed) return invalid('The snapshot is not pending.')
      if (body.length !== BLOCK_BYTES || headers['x-amz-data-length'] !== String(BLOCK_BYTES))
        return invalid('The block is not 512 KiB.')
      if (headers['x-amz-checksum'] !== sha256(body).digest('base64')) return invalid('Wrong block checksum.')
      snapshot.blocks.set(index, body)
      return null
    },
    complete: (id: string, headers: IncomingHttpHeaders): Refusal | null => {
      const snapshot = snapshots.get(id)
      if (!snapshot) return missing
      if (snapshot.sealed) return invalid('The snapshot is not pending.')
      if (headers['x-amz-changedblockscount'] !== String(snapshot.blocks.size)) return invalid('Wrong count.')
      const inOrder = [...snapshot.blocks]
        .sort(([a], [b]) => a - b)
        .map(([, block]) => sha256(block).digest())
      const linear =
        headers['x-amz-checksum-algorithm'] === 'SHA256' &&
        headers['x-amz-checksum-aggregation-method'] === 'LINEAR' &&
        headers['x-amz-checksum'] === sha256(Buffer.concat(inOrder)).digest('base64')
      if (!linear) return invalid('Wrong checksum of the snapshot.')
      snapshot.sealed = true
      return null
    },
  }
}
