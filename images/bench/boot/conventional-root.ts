// Makes the conventional root as a tar. Debian's maintainer scripts run, and it is cleaned as image builders do.
// Owns the call of mmdebstrap, without a network, in namespaces that end with this process.
// Fails with mmdebstrap's last lines.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { namespaces, writeRepository } from '../../bake/base-layer.ts'
import { runStage, temporaryFolder, type StageResult } from '../../cache.ts'
import { runProgram } from '../../../platform/run-program.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import type { Spec } from '../../spec.ts'
import type { Conventional } from './conventional.ts'

/** GRUB and the kernel find the root by this UUID. */
export const ROOT_UUID = '5e0b1d4c-3f67-4a3e-9a6b-2c1f6d7e8a90'
/** FAT's volume id, as blkid(8) writes it. */
export const ESP_VOLUME = 'B007-C0DE'

/** Installs the packages. The result holds `root.tar`. */
export async function conventionalRoot(
  { spec, lock, fetched, cacheDir }: Conventional,
  onProgress: OnProgress,
): Promise<StageResult> {
  const { suite, packages, user } = spec
  const debs = lock.root.map(({ sha256 }) => sha256).sort()
  return runStage(cacheDir, {
    name: 'conventional-root',
    inputs: { debs, sourceDateEpoch: lock.sourceDateEpoch, suite, packages, user },
    code: import.meta.filename,
    run: async (folder) => {
      onProgress(`installing ${debs.length} packages of the conventional image`)
      await using work = temporaryFolder(cacheDir, 'conventional')
      const repository = join(work.path, 'repository')
      await writeRepository(repository, suite, lock, fetched)
      const temporary = join(work.path, 'tmp')
      mkdirSync(temporary)
      const argv = mmdebstrapArguments(spec, { repository, tar: join(folder, 'root.tar') })
      await runProgram([...namespaces(), ...argv], {
        env: {
          PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
          LC_ALL: 'C.UTF-8',
          TZ: 'UTC',
          TMPDIR: temporary,
          SOURCE_DATE_EPOCH: String(lock.sourceDateEpoch),
        },
      })
    },
  })
}

function mmdebstrapArguments(
  { architecture, suite, packages, user }: Spec,
  { repository, tar }: { repository: string; tar: string },
): string[] {
  return [
    'mmdebstrap',
    ['--mode', 'root'],
    ['--variant', 'essential'],
    ['--format', 'tar'],
    ['--architectures', architecture],
    ['--include', packages.join(',')],
    ['--aptopt', 'APT::Install-Recommends "false"'],
    ['--dpkgopt', 'force-unsafe-io'],
    ['--skip', 'output/dev'],
    ...hooks(user).flatMap((hook) => ['--customize-hook', hook]),
    suite,
    tar,
    `deb [trusted=yes] copy:${encodeURI(repository)} ./`,
  ].flat()
}

/** Shell commands; `$1` is the root. */
function hooks({ name, id }: Spec['user']): string[] {
  const write = (path: string, ...lines: string[]) =>
    `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} > "$1/${path}"`
  return [
    `chroot "$1" groupadd --gid ${id} ${name}`,
    `chroot "$1" useradd --uid ${id} --gid ${id} --home-dir /nonexistent --shell /usr/sbin/nologin ${name}`,
    'mkdir -p "$1/boot/efi" "$1/boot/grub"',
    write(
      'etc/fstab',
      `UUID=${ROOT_UUID} / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1`,
      `UUID=${ESP_VOLUME} /boot/efi vfat defaults 0 0`,
    ),
    // Images for one cloud name the data source, so that cloud-init does not search for it.
    write('etc/cloud/cloud.cfg.d/90_datasource.cfg', 'datasource_list: [NoCloud]'),
    // Keeps the distribution's daily upgrade from competing with the first boot.
    'ln -s /dev/null "$1/etc/systemd/system/apt-daily.timer"',
    'ln -s /dev/null "$1/etc/systemd/system/apt-daily-upgrade.timer"',
    // Image builders remove these, so that every instance makes its own.
    'rm -f "$1"/etc/ssh/ssh_host_*_key* "$1/etc/hostname" && : > "$1/etc/machine-id"',
    'rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/var/lib/apt/lists/*',
  ]
}
