// Makes an erofs from a tar archive. Owns: its parameters, which make equal archives give equal bytes.
// Fails with mkfs.erofs's own output.
import { createHash } from 'node:crypto'
import { runTool, type Sandbox } from '../../platform/sandbox.ts'
import { uuidFrom } from '../../platform/uuid-from-hex.ts'

/** Against lz4hc it saves a fifth of the blocks to read, and boots no slower (docs/decisions/041-boot.md). */
const COMPRESSION = '-zzstd,9'
/** Size of the clusters that erofs compresses. A larger one packs better and reads more for one page. */
const CLUSTER_BYTES = 65536

export type ErofsSource = {
  /** Name of the file system's file in the sandbox's working folder. */
  erofs: string
  /** Path of the archive in the sandbox. */
  archive: string
  /** Text from which the UUID is derived. Equal inputs have an equal seed, and so an equal UUID. */
  seed: string
}

/** Makes a new file system. */
export async function makeErofs(sandbox: Sandbox, source: ErofsSource): Promise<void> {
  await runTool(sandbox, mkfsArguments(sandbox, source, []))
}

/** Adds the archive's content behind a file system's own, of which no byte moves. */
export async function addToErofs(sandbox: Sandbox, source: ErofsSource): Promise<void> {
  await runTool(sandbox, mkfsArguments(sandbox, source, ['--incremental=data']))
}

function mkfsArguments(
  { sourceDateEpoch }: Sandbox,
  { erofs, archive, seed }: ErofsSource,
  options: readonly string[],
): string[] {
  return [
    'mkfs.erofs',
    '--quiet',
    '--tar=f',
    ...options,
    COMPRESSION,
    `-C${CLUSTER_BYTES}`,
    `-T${sourceDateEpoch}`,
    '--all-time',
    `-U${uuidFrom(jsonDigest(seed))}`,
    erofs,
    archive,
  ]
}

/** SHA-256 in hex of a value as JSON. */
export const jsonDigest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex')
