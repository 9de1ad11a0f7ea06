// A manifest for tests that need no baked image.
import type { Manifest } from '../../../images/describe/manifest.ts'

const hash = 'a'.repeat(64)

/** A whole manifest of nothing, but for what is given. */
export function manifestOf(overrides: Partial<Manifest> = {}): Manifest {
  return {
    format: 3,
    name: 'mailfleet',
    digest: hash,
    architecture: 'amd64',
    locked: true,
    lock: hash,
    sourceDateEpoch: 1,
    rootHash: hash,
    kernel: { package: 'linux-image', version: '1', release: '1', commandLine: 'ro', config: hash },
    node: '26.10.0',
    packages: [],
    npm: [],
    bundled: [],
    units: { enabled: [], masked: [] },
    unitProperties: {},
    sysctls: {},
    setuid: [],
    files: { count: 0, sha256: hash },
    texts: { count: 0, sha256: hash },
    budget: { maxBootBlocks: 1000, maxImageBytes: 2 ** 30 },
    sizesByPackage: {},
    pcr: { sha256: { '4': 'a', '7': 'b', '12': 'c' }, sha384: { '4': 'a', '7': 'b', '12': 'c' } },
    partitions: [],
    sizes: { disk: 0, root: 0, verity: 0, uki: 0, initrd: 0, server: 0 },
    ...overrides,
  }
}
