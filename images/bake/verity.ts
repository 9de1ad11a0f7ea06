// The dm-verity tree over the root file system, and the identifiers that are derived from hashes.
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { StageResult } from '../cache.ts'
import { runTool, type Sandbox } from '../../platform/sandbox.ts'
import { uuidFrom } from '../../platform/uuid-from-hex.ts'

const BLOCK_BYTES = 4096

/** What the kernel needs to know to verify the root. */
export type Verity = { rootHash: string; salt: string; dataBlocks: number }

/**
 * Makes `root.verity` over `root.erofs` in the sandbox's working folder.
 * @param erofs the same root.erofs as this process sees it
 * @param seed text from which salt and UUID are derived
 */
export async function makeVerity(sandbox: Sandbox, erofs: string, seed: string): Promise<Verity> {
  const salt = createHash('sha256').update(`salt ${seed}`).digest('hex')
  const uuid = uuidFrom(createHash('sha256').update(`verity ${seed}`).digest('hex'))
  const output = await runTool(sandbox, [
    'veritysetup',
    'format',
    '--hash=sha256',
    `--data-block-size=${BLOCK_BYTES}`,
    `--hash-block-size=${BLOCK_BYTES}`,
    `--salt=${salt}`,
    `--uuid=${uuid}`,
    'root.erofs',
    'root.verity',
  ])
  const rootHash = /^Root hash:\s+([0-9a-f]{64})$/m.exec(output)?.[1]
  if (rootHash === undefined) throw new Error(`veritysetup printed no root hash:\n${output}`)
  return { rootHash, salt, dataBlocks: statSync(erofs).size / BLOCK_BYTES }
}

/** Reads the `verity.json` of the stage that made the root file system. */
export function readVerity(root: StageResult): Verity {
  return JSON.parse(readFileSync(join(root.path, 'verity.json'), 'utf8')) as Verity
}
