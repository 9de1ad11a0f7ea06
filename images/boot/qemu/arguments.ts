// The machine that boots an image, as QEMU's argument list. Pure.
// Owns the hardware and the reachable network: with -nodefaults the guest has only what is named here.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CAPTURE_BYTES } from './pcap.ts'

export type Accel = 'kvm' | 'tcg'

export type QemuDisk = {
  /** Name in block statistics, and the serial number the guest sees. */
  name: string
  file: string
  /** false: what the guest writes is forgotten at the end, the file never changes. */
  writable: boolean
}

export type QemuNetwork = {
  /** The guest's network, which every address of `guestToHost` must be in; QEMU's own by default, 10.0.2.0/24. */
  subnet?: string
  /** true: the guest reaches nothing but `guestToHost`. */
  restrict: boolean
  /** Ports of the guest that a free port on the host's loopback shall lead to. */
  hostToGuest: readonly number[]
  /** Addresses in the guest's network that lead to a port on the host's loopback. */
  guestToHost: readonly { host: string; port: number; hostPort: number }[]
  /** Where to write every frame that the guest sends or is sent, its first bytes, as a libpcap file. */
  captureFile?: string
}

/** Debian's names of architectures. */
export type Architecture = 'amd64' | 'arm64'

export type QemuMachine = {
  /** amd64 by default. */
  architecture?: Architecture
  accel: Accel
  /** In the order in which the firmware looks for something to boot. Each is an NVMe disk, as on EC2. */
  disks: readonly QemuDisk[]
  network?: QemuNetwork
  /** systemd credentials: name → content. */
  credentials?: Readonly<Record<string, string>>
  memoryMiB?: number
  /** The maker that the guest sees in its SMBIOS: `Amazon EC2` there. */
  maker?: string
  /** Where to write one line for every read from the first disk. */
  readTraceFile?: string
}

/**
 * UEFI firmware of Debian's packages ovmf and qemu-efi-aarch64; `vars` is a template of the machine's own variables.
 * A processor for emulation: what there is of x86-64, and a Cortex-A72 as in the first Graviton.
 */
export const HARDWARE = {
  amd64: {
    program: 'qemu-system-x86_64',
    machine: 'q35,smm=off,vmport=off',
    processor: 'max',
    firmware: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', vars: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
  },
  arm64: {
    program: 'qemu-system-aarch64',
    machine: 'virt,gic-version=3',
    processor: 'cortex-a72',
    firmware: { code: '/usr/share/AAVMF/AAVMF_CODE.fd', vars: '/usr/share/AAVMF/AAVMF_VARS.fd' },
  },
}

/**
 * Emulation stays on one thread. On one a processor, QEMU now and then runs code that another processor has just
 * patched (its work item 4669): a guest then dies early in its boot with `Oops: int3`, about one boot in twenty.
 */
const ACCELERATORS: Record<Accel, string> = { kvm: 'kvm', tcg: 'tcg,thread=single' }

/** What an instance of the smallest useful type has. */
const VCPUS = 2
const MEMORY_MIB = 1024

/** Descriptor on which QEMU's control channel is handed over. */
export const QMP_FD = 3

/** Name of the machine's private firmware variables inside its folder. */
export const VARS_NAME = 'vars.fd'

const RELAY = fileURLToPath(new URL('./guest-relay.mjs', import.meta.url))

/** QEMU separates the parts of an option by commas; a comma in a value is written twice. */
const quoted = (value: string) => value.replaceAll(',', ',,')

/**
 * An image prints only warnings on its console (journald.conf.d). What boots it here also reads events such as
 * `listening` there, so the kernel command line raises the level (systemd-stub(7), "SMBIOS type 11 strings"). A machine
 * that names its maker shows what EC2 would.
 */
const CONSOLE_ARGUMENTS = [
  '-smbios',
  'type=11,value=io.systemd.stub.kernel-cmdline-extra=systemd.journald.max_level_console=info',
]

/** @param folder where the machine's private copy of the firmware variables is. */
export function qemuArguments(machine: QemuMachine, folder: string): string[] {
  const { accel, disks, network, credentials = {}, memoryMiB = MEMORY_MIB, readTraceFile } = machine
  const hardware = HARDWARE[machine.architecture ?? 'amd64']
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    ['-display', 'none'],
    ['-machine', hardware.machine],
    ['-accel', ACCELERATORS[accel]],
    ['-cpu', accel === 'kvm' ? 'host' : hardware.processor],
    ['-smp', String(VCPUS)],
    ['-m', String(memoryMiB)],
    ['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${hardware.firmware.code}`],
    ['-drive', `if=pflash,unit=1,format=raw,file=${quoted(join(folder, VARS_NAME))}`],
    ...disks.flatMap(diskArguments),
    ...(network ? networkArguments(network) : []),
    ['-device', 'virtio-rng-pci'],
    ...(machine.maker === undefined ? [] : ['-smbios', `type=1,manufacturer=${quoted(machine.maker)}`]),
    ...Object.entries(credentials).flatMap(([name, content]) => credentialArguments(name, content)),
    ...(machine.maker === undefined ? CONSOLE_ARGUMENTS : []),
    ['-chardev', `socket,id=control,fd=${QMP_FD}`],
    ['-mon', 'chardev=control,mode=control'],
    ['-chardev', 'stdio,id=console,signal=off'],
    ['-serial', 'chardev:console'],
    ...(readTraceFile === undefined ? [] : ['-trace', `enable=pci_nvme_read,file=${quoted(readTraceFile)}`]),
  ].flat()
}

/**
 * The namespace's number is the disk's place in the list, counted from 1: it tells disks apart in the read trace.
 * Write-back caching, so a guest's flush reaches the host's file and nothing else has to.
 */
function diskArguments({ name, file, writable }: QemuDisk, index: number): string[] {
  const kept = writable ? 'cache=writeback' : 'snapshot=on'
  return [
    ['-drive', `if=none,id=${name},format=raw,${kept},file=${quoted(file)}`],
    ['-device', `nvme,id=${name}-controller,serial=${name},bootindex=${index}`],
    ['-device', `nvme-ns,drive=${name},bus=${name}-controller,nsid=${index + 1}`],
  ].flat()
}

function networkArguments({
  subnet,
  restrict,
  hostToGuest,
  guestToHost,
  captureFile,
}: QemuNetwork): string[] {
  const options = [
    'user',
    'id=net',
    `restrict=${restrict ? 'on' : 'off'}`,
    'ipv6=off',
    ...(subnet === undefined ? [] : [`net=${subnet}`]),
    // Port 0: a free one, which QEMU then tells.
    ...hostToGuest.map((port) => `hostfwd=tcp:127.0.0.1:0-:${port}`),
    ...guestToHost.map(
      ({ host, port, hostPort }) => `guestfwd=tcp:${host}:${port}-cmd:${relayCommand(hostPort)}`,
    ),
  ]
  return [
    ['-netdev', options.join(',')],
    // Without a ROM the firmware does not try to boot from the network.
    ['-device', 'virtio-net-pci,netdev=net,romfile='],
    ...(captureFile === undefined
      ? []
      : ['-object', `filter-dump,id=capture,netdev=net,maxlen=${CAPTURE_BYTES},file=${quoted(captureFile)}`]),
  ].flat()
}

/** QEMU's own forwarding would lead every connection into one and the same: so a process for each. */
function relayCommand(hostPort: number): string {
  const words = [process.execPath, RELAY, String(hostPort)]
  return quoted(words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' '))
}

/** systemd(1), "System credentials": SMBIOS type 11 strings; base64 lets any byte through. */
function credentialArguments(name: string, content: string): string[] {
  const value = Buffer.from(content).toString('base64')
  return ['-smbios', `type=11,value=io.systemd.credential.binary:${name}=${value}`]
}
