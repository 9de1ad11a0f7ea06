// What the EBS direct APIs demand of an upload, and what they keep, as an emulator does not: sizes, checksums, counts,
// order, and the parent that shows through where nothing was written. Owns: the content of each snapshot.
// A breach is answered as AWS does, mostly with a ValidationException.
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

const BLOCK_BYTES = 512 * 1024
const ZEROES = Buffer.alloc(BLOCK_BYTES)

export type Refusal = { status: number; code: string; message: string; reason?: string }

export type Start = {
  VolumeSize: number
  ParentSnapshotId?: string
  Encrypted?: boolean
  KmsKeyArn?: string
}

type Stored = {
  /** What was there before anything was written: the parent's blocks, or those of the snapshot that was copied. */
  base: Map<number, Buffer>
  blocks: Map<number, Buffer>
  gib: number
  sealed: boolean
  looksUntilCompleted: number
}

export type EbsRules = ReturnType<typeof ebsRules>

const sha256 = (data: Uint8Array) => createHash('sha256').update(data)
const invalid = (message: string): Refusal => ({ status: 400, code: 'ValidationException', message })
const missing: Refusal = {
  status: 404,
  code: 'ResourceNotFoundException',
  message: 'The snapshot does not exist.',
}

export function ebsRules() {
  const snapshots = new Map<string, Stored>()
  const content = (id: string): Map<number, Buffer> => {
    const { base, blocks } = snapshots.get(id) ?? { base: [], blocks: [] }
    return new Map([...base, ...blocks].sort(([a], [b]) => a - b))
  }
  const isReadable = (id: string) => snapshots.get(id)?.sealed === true

  return {
    /** Whether a snapshot may be started like this. */
    start: (o: Start): Refusal | null => {
      if (o.ParentSnapshotId === undefined) return null
      if (!isReadable(o.ParentSnapshotId)) return missing
      if (o.Encrypted !== undefined || o.KmsKeyArn !== undefined)
        return invalid('ParentSnapshotId and Encrypted in one request.')
      return o.VolumeSize < snapshots.get(o.ParentSnapshotId)!.gib
        ? invalid('Smaller than the parent.')
        : null
    },
    started: (id: string, { VolumeSize, ParentSnapshotId = '' }: Start) => {
      const rest = { blocks: new Map<number, Buffer>(), sealed: false, looksUntilCompleted: 1 }
      snapshots.set(id, { base: content(ParentSnapshotId), gib: VolumeSize, ...rest })
    },
    /** A copy shows as pending for some looks, and then holds what its source does. */
    copied: (id: string, source: string) => {
      const gib = snapshots.get(source)?.gib ?? 1
      const rest = { blocks: new Map<number, Buffer>(), sealed: true, looksUntilCompleted: 1 }
      snapshots.set(id, { base: content(source), gib, ...rest })
    },
    deleted: (id: string) => snapshots.delete(id),
    /** What reading the whole snapshot would give, by ascending index. */
    blocks: content,
    /** Only what was written to it. */
    written: (id: string): Map<number, Buffer> => snapshots.get(id)?.blocks ?? new Map<number, Buffer>(),
    /** One bit of a stored block is no longer what was written. */
    flip: (id: string, index: number) => {
      const block = Buffer.from(content(id).get(index)!)
      block[0]! ^= 1
      snapshots.get(id)!.blocks.set(index, block)
    },
    /** A stored block is gone. */
    lose: (id: string, index: number) => {
      snapshots.get(id)!.base.delete(index)
      snapshots.get(id)!.blocks.delete(index)
    },
    /** What nobody here asked for: as when someone else completes a snapshot with blocks missing. */
    seal: (id: string) => Object.assign(snapshots.get(id)!, { sealed: true, looksUntilCompleted: 0 }),
    /** Whether EC2 still shows it as pending: until it is sealed, and for one look more. */
    isPending: (id: string): boolean => {
      const snapshot = snapshots.get(id)
      return snapshot !== undefined && (!snapshot.sealed || snapshot.looksUntilCompleted-- > 0)
    },
    read: (id: string): Refusal | null => (isReadable(id) ? null : missing),
    put: (id: string, index: number, headers: IncomingHttpHeaders, body: Buffer): Refusal | null =>
      put(snapshots.get(id), { index, headers, body }),
    complete: (id: string, headers: IncomingHttpHeaders): Refusal | null =>
      complete(snapshots.get(id), headers),
  }
}

function put(
  snapshot: Stored | undefined,
  { index, headers, body }: { index: number; headers: IncomingHttpHeaders; body: Buffer },
): Refusal | null {
  if (!snapshot) return missing
  if (snapshot.sealed) return invalid('The snapshot is not pending.')
  if (body.length !== BLOCK_BYTES || headers['x-amz-data-length'] !== String(BLOCK_BYTES))
    return invalid('The block is not 512 KiB.')
  if (headers['x-amz-checksum'] !== sha256(body).digest('base64')) return invalid('Wrong block checksum.')
  snapshot.blocks.set(index, body.equals(ZEROES) ? ZEROES : body)
  return null
}

function complete(snapshot: Stored | undefined, headers: IncomingHttpHeaders): Refusal | null {
  if (!snapshot) return missing
  if (snapshot.sealed) return invalid('The snapshot is not pending.')
  if (headers['x-amz-changedblockscount'] !== String(snapshot.blocks.size)) return invalid('Wrong count.')
  const inOrder = [...snapshot.blocks].sort(([a], [b]) => a - b).map(([, block]) => sha256(block).digest())
  const linear =
    headers['x-amz-checksum-algorithm'] === 'SHA256' &&
    headers['x-amz-checksum-aggregation-method'] === 'LINEAR' &&
    headers['x-amz-checksum'] === sha256(Buffer.concat(inOrder)).digest('base64')
  if (!linear) return invalid('Wrong checksum of the snapshot.')
  snapshot.sealed = true
  return null
}
