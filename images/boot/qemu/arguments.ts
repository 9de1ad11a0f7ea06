// The machine that boots an image, as QEMU's argument list. Pure.
// Owns the hardware and the reachable network: with -nodefaults the guest has only what is named here.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CAPTURE_BYTES } from './pcap.ts'

export type Accel = 'kvm' | 'tcg'

export type QemuDisk = {
  /** Its name in block statistics, and the serial number that the guest sees. */
  name: string
  file: string
  /** False: QEMU drops the guest's writes at the end, and the file never changes. */
  writable: boolean
}

export type QemuNetwork = {
  /** The guest's network; every address of `guestToHost` must be in it. The default is QEMU's 10.0.2.0/24. */
  subnet?: string
  /** True: the guest reaches only the addresses of `guestToHost`. */
  restrict: boolean
  /** Ports of the guest. QEMU forwards a free port of the host's loopback to each. */
  hostToGuest: readonly number[]
  /** Addresses in the guest's network that lead to a port on the host's loopback. */
  guestToHost: readonly { host: string; port: number; hostPort: number }[]
  /** A libpcap file for the first bytes of every frame that the guest sends or receives. */
  captureFile?: string
}

/** Architectures by Debian's names. */
export type Architecture = 'amd64' | 'arm64'

export type QemuMachine = {
  /** The default is amd64. */
  architecture?: Architecture
  accel: Accel
  /** NVMe disks, as on EC2, in the firmware's boot order. */
  disks: readonly QemuDisk[]
  network?: QemuNetwork
  /** systemd credentials: name → content. */
  credentials?: Readonly<Record<string, string>>
  memoryMiB?: number
  /** The manufacturer in the guest's SMBIOS. On EC2 it is `Amazon EC2`. */
  maker?: string
  /** A file for one line for each read of the first disk. */
  readTraceFile?: string
}

/**
 * UEFI firmware of Debian's packages ovmf and qemu-efi-aarch64. `vars` is the template of a machine's own variables.
 * The emulated processor has all that QEMU offers of x86-64; on ARM it is a Cortex-A72, as in the first Graviton.
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
 * Emulation uses one thread. With one thread a processor, QEMU sometimes runs code that another processor has just
 * patched (QEMU work item 4669). The guest then dies early with `Oops: int3`, in about one boot of twenty.
 */
const ACCELERATORS: Record<Accel, string> = { kvm: 'kvm', tcg: 'tcg,thread=single' }

/** The memory of the smallest useful instance type. */
const VCPUS = 2
const MEMORY_MIB = 1024

/** The file descriptor of QEMU's control channel. */
export const QMP_FD = 3

/** The file name of the machine's own firmware variables. */
export const VARS_NAME = 'vars.fd'

const RELAY = fileURLToPath(new URL('./guest-relay.mjs', import.meta.url))

/** Doubles the commas of a value, because QEMU separates the parts of an option by commas. */
const quoted = (value: string) => value.replaceAll(',', ',,')

/**
 * An image prints only warnings on its console (journald.conf.d). The boot test also reads events such as `listening`
 * there, so it raises the level on the kernel command line (systemd-stub(7), "SMBIOS type 11 strings"). A machine with a
 * manufacturer keeps the level that it has on EC2.
 */
const CONSOLE_ARGUMENTS = [
  '-smbios',
  'type=11,value=io.systemd.stub.kernel-cmdline-extra=systemd.journald.max_level_console=info',
]

/** @param folder holds the machine's own copy of the firmware variables */
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
 * The namespace number is the disk's place in the list, from 1. It tells disks apart in the read trace.
 * With write-back caching a guest's flush reaches the host's file, and its other writes need not.
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
    // Port 0 means any free port. QEMU reports which one it took.
    ...hostToGuest.map((port) => `hostfwd=tcp:127.0.0.1:0-:${port}`),
    ...guestToHost.map(
      ({ host, port, hostPort }) => `guestfwd=tcp:${host}:${port}-cmd:${relayCommand(hostPort)}`,
    ),
  ]
  return [
    ['-netdev', options.join(',')],
    // Without an option ROM the firmware does not try to boot from the network.
    ['-device', 'virtio-net-pci,netdev=net,romfile='],
    ...(captureFile === undefined
      ? []
      : ['-object', `filter-dump,id=capture,netdev=net,maxlen=${CAPTURE_BYTES},file=${quoted(captureFile)}`]),
  ].flat()
}

/** QEMU's own forwarding joins all connections to one, so each connection gets a process. */
function relayCommand(hostPort: number): string {
  const words = [process.execPath, RELAY, String(hostPort)]
  return quoted(words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' '))
}

/** systemd(1), "System credentials": SMBIOS type 11 strings; base64 lets any byte through. */
function credentialArguments(name: string, content: string): string[] {
  const value = Buffer.from(content).toString('base64')
  return ['-smbios', `type=11,value=io.systemd.credential.binary:${name}=${value}`]
}
