// The benchmark of boots in words: for a terminal, and as a section of docs/benchmarks.md. Pure. Owns: how figures are
// shown, and what is said of what they do and do not mean.
import { table } from '../document.ts'
import { GOALS, shortfalls, type BootBench, type Figures } from './report.ts'

/** Lines for a terminal. @param file the report's path */
export function bootText(b: BootBench, file: string): string {
  const line = (name: string, f: Figures) =>
    `${name.padEnd(22)} ${f.secondsToFirstForward.toFixed(1).padStart(6)} s to the first forward, ` +
    `${f.blocksRead} blocks, ${(f.bytesRead / 1e6).toFixed(0)} MB read`
  return [
    `${b.accel}, ${b.cpus} processors; seconds compare only with each other`,
    line('golden image', b.golden),
    line('pre-installed', b.preinstalled),
    line('installing at boot', b.installAtBoot),
    `ratios                 ${b.ratios.preinstalled} × (goal ${GOALS.preinstalled}), ` +
      `${b.ratios.installAtBoot} ×; blocks ${b.ratios.blocks} (goal ${GOALS.blocks})`,
    `one package broken     installing at boot ${verb(b.brokenPackage.installAtBootServed)}, golden image ${verb(b.brokenPackage.goldenServed)}`,
    ...shortfalls(b).map((text) => `falls short            ${text}`),
    `report                 ${file}`,
  ].join('\n')
}

const verb = (served: boolean) => (served ? 'served' : 'never served')

/** The section of the document. */
export function bootMarkdown(b: BootBench): string {
  const row = (name: string, f: Figures, ratio: string) => [
    ...[name, `${f.secondsToFirstForward.toFixed(1)} s`, `${f.spreadSeconds.toFixed(1)} s`],
    ...[String(f.allSeconds.length), String(f.blocksRead), `${(f.bytesRead / 1e6).toFixed(0)} MB`, ratio],
  ]
  return [
    `\`npx mailfleet bench boot\`, ${b.createdAt.slice(0, 10)}, ${b.accel === 'kvm' ? 'hardware virtualization (KVM)' : 'software emulation (TCG)'}, ${b.cpus} processors. From the start of QEMU until the first message has been forwarded; medians.`,
    '',
    ...table([
      ['image', 'first forward', 'spread', 'boots', '512 KiB blocks read', 'read', 'golden image is faster'],
      row('golden', b.golden, ''),
      row('pre-installed', b.preinstalled, `${b.ratios.preinstalled} ×`),
      row('installing at boot', b.installAtBoot, `${b.ratios.installAtBoot} ×`),
    ]),
    '',
    `The golden image reads ${Math.round(b.ratios.blocks * 100)} % of the pre-installed image's blocks. With one package of the mirror replaced by one that cannot be installed, the instance that installs at boot ${verb(b.brokenPackage.installAtBootServed)}; the golden image ${verb(b.brokenPackage.goldenServed)}, and asked the mirror ${b.brokenPackage.goldenRequests} times.`,
    '',
    METHOD,
  ].join('\n')
}

const METHOD = `All machines have the same two processors, 1 GiB of memory, UEFI firmware, NVMe disks and virtio network, and forward the same message with the same server, Node and configuration.

- **Pre-installed** is Debian of the same suite with the same kernel on ext4: GRUB, an initrd of initramfs-tools, cloud-init, netplan, an SSH server, the server as a systemd service after \`network-online.target\`, its configuration by cloud-init. To its advantage: no recommended packages, no menu to wait for, no search for a data source, no unattended upgrades, no agent of a cloud.
- **Installing at boot** is the same image without Node and server. cloud-init installs one Node package by apt and the server's packages by \`npm ci\`, from a mirror on the machine itself: no latency, no limit, addresses of all tarballs in the lock.
- Emulated seconds compare with those of the same run only. They say nothing about EC2, where about 20 s until an instance's firmware starts come on top of every image, and where each block is fetched from a snapshot when it is first read. That is why blocks are counted.
- Instructions of the guest are not counted: neither KVM nor Debian's QEMU does.`
