// The text of the boot benchmark: for a terminal, and as a section of docs/benchmarks.md. Pure.
// Owns the format of figures, and the description of the method.
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
  const row = (name: string, f: Figures, ratio: string) =>
    [
      [name, `${f.secondsToFirstForward.toFixed(1)} s`, `${f.spreadSeconds.toFixed(1)} s`],
      [String(f.allSeconds.length), String(f.blocksRead), `${(f.bytesRead / 1e6).toFixed(0)} MB`, ratio],
    ].flat()
  return [
    `Measured on ${b.createdAt.slice(0, 10)} with ${b.accel === 'kvm' ? 'hardware virtualization (KVM)' : 'software emulation (TCG)'} on ${b.cpus} processors. The time runs from the start of QEMU until the server has forwarded the first message. Time, blocks and bytes are medians; the spread is the slowest boot minus the fastest.`,
    '',
    ...table([
      ['image', 'first forward', 'spread', 'boots', '512 KiB blocks read', 'read', 'golden image is faster'],
      row('golden', b.golden, ''),
      row('pre-installed', b.preinstalled, `${b.ratios.preinstalled} ×`),
      row('installing at boot', b.installAtBoot, `${b.ratios.installAtBoot} ×`),
    ]),
    '',
    `A boot of the golden image reads ${Math.round(b.ratios.blocks * 100)} % as many blocks as a boot of the pre-installed image.`,
    '',
    'The benchmark then replaces one package of the mirror by one that cannot be installed, and boots two again:',
    '',
    `- The instance that installs at boot ${verb(b.brokenPackage.installAtBootServed)}.`,
    `- The golden image ${verb(b.brokenPackage.goldenServed)}. It sent the mirror ${b.brokenPackage.goldenRequests} requests.`,
    '',
    METHOD,
  ].join('\n')
}

const METHOD = `### What is compared

All three machines have the same two processors, 1 GiB of memory, UEFI firmware, NVMe disks and virtio network. All forward the same message with the same server, Node and configuration.

**Pre-installed** is Debian of the same suite with the same kernel on ext4. It has:

- GRUB, an initrd of initramfs-tools, cloud-init, netplan and an SSH server;
- the server as a systemd service after \`network-online.target\`, configured by cloud-init.

It starts less than usual images do. It has no recommended packages, no boot menu, no search for a data source, no unattended upgrades and no cloud agent.

**Installing at boot** is the same image without Node and the server. cloud-init installs Node as one apt package, and the server's packages by \`npm ci\`. Both come from a mirror on the same machine, without latency or a rate limit. The package lock has the address of every tarball.

### What the figures do not say

- Compare times measured under emulation only with other times of the same run. They say nothing about EC2.
- On EC2 every image takes about 20 s more until the instance's firmware starts. EC2 also fetches each block from a snapshot when it is first read. The benchmark counts blocks for this reason.
- The guest's instructions are not counted. KVM does not count them apart, and Debian's QEMU comes without the plug-in that does.`
