// Two fake sides of a comparison. They are equal in everything that the test does not name.
import type { Side } from '../../../images/diff/compare.ts'
import { manifestOf } from './fake-manifests.ts'

const HEX = 'a'.repeat(64)

export function side(
  manifest: Partial<Side['manifest']> = {},
  rest: Partial<Omit<Side, 'manifest'>> = {},
): Side {
  return {
    manifest: manifestOf({
      kernel: { package: 'k', version: '1', release: '6.12', commandLine: 'ro quiet', config: HEX },
      budget: { maxBootBlocks: 1, maxImageBytes: 1 },
      sizes: { disk: 100, root: 1, verity: 1, uki: 1, initrd: 1, server: 1 },
      ...manifest,
    }),
    files: [],
    texts: {},
    kernelConfig: '',
    receipt: undefined,
    ...rest,
  }
}

/** As much of a receipt as a comparison reads. */
export function receipt(changes: Partial<NonNullable<Side['receipt']>> = {}): NonNullable<Side['receipt']> {
  const seconds = {
    secondsToFirstForward: 20,
    secondsToKernel: 5,
    secondsToUserspace: 8,
    secondsToServerStart: 9,
  }
  const seen = { bytesRead: 1, blocksRead: 100, listening: ['tcp :::25'], outgoing: [] }
  return { ...seconds, ...seen, ...changes } as unknown as NonNullable<Side['receipt']>
}
