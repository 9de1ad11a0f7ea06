// Whether an ordinary user can install packages into a root file system. That takes a user namespace and a range of
// subordinate ids. Owns: the check, and the command that solves each problem. Fails with an Error of a sentence or two.
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { namespaces } from './base-layer.ts'
import { runProgram } from '../../platform/run-program.ts'

/** Ids that a root file system needs: Debian's users go up to nobody, 65534. */
const IDS = 65_536
/** The first id that useradd gives (login.defs(5), SUB_UID_MIN). */
const FIRST_ID = 100_000

/** Kernel setting → the value that forbids user namespaces to ordinary users, and one that allows them. */
const SETTINGS = [
  { name: 'kernel.unprivileged_userns_clone', forbids: '0', allows: '1' },
  { name: 'user.max_user_namespaces', forbids: '0', allows: '15000' },
  { name: 'kernel.apparmor_restrict_unprivileged_userns', forbids: '1', allows: '0' },
]

export type UserNamespaceOptions = {
  isRoot?: boolean
  user?: string
  /** Folder that holds etc/ and proc/. */
  root?: string
  /** Tries to make the namespaces. @throws {Error} with the refusing program's output */
  attempt?: () => Promise<unknown>
}

/**
 * Checks that this user may make the namespaces of a bake. Root always may.
 * @throws {Error} with the reason and the command that solves it
 */
export async function requireUserNamespaces({
  isRoot = process.getuid?.() === 0,
  user = isRoot ? 'root' : userInfo().username,
  root = '/',
  attempt = () => runProgram([...namespaces(), 'true']),
}: UserNamespaceOptions = {}): Promise<void> {
  if (isRoot) return
  try {
    await attempt()
  } catch (cause) {
    const reason = forbidding(root) ?? lackingIds(root, user) ?? (cause as Error).message
    throw new Error(`the bake needs user namespaces for ${user}: ${reason}`, { cause })
  }
}

/** The kernel setting that forbids user namespaces; null when none does. */
function forbidding(root: string): string | null {
  const found = SETTINGS.find(({ name, forbids }) => {
    const file = join(root, 'proc/sys', ...name.split('.'))
    return textOf(file).trim() === forbids
  })
  if (found === undefined) return null
  const { name, forbids, allows } = found
  return `the kernel setting ${name} is ${forbids}, which forbids them. As root: sysctl ${name}=${allows}`
}

/** Null when the user has a range of ids in both files. */
function lackingIds(root: string, user: string): string | null {
  const files = { subuid: textOf(join(root, 'etc/subuid')), subgid: textOf(join(root, 'etc/subgid')) }
  const missing = Object.entries(files).filter(([, text]) => !hasRange(text, user))
  if (missing.length === 0) return null
  const names = missing.map(([name]) => `/etc/${name}`).join(' and ')
  const first = firstFree(Object.values(files).join('\n'))
  const range = `${first}-${first + IDS - 1}`
  const options = missing.map(([name]) => `--add-${name}s ${range}`).join(' ')
  return `${user} has no range of ${IDS} ids in ${names}. As root: usermod ${options} ${user}`
}

/** unshare --map-auto takes the first range of a user (subuid(5): `user:first:count`). */
function hasRange(text: string, user: string): boolean {
  const own = ranges(text).find(({ name }) => name === user)
  return own !== undefined && own.count >= IDS
}

function firstFree(text: string): number {
  return Math.max(FIRST_ID, ...ranges(text).map(({ first, count }) => first + count))
}

function ranges(text: string): { name: string; first: number; count: number }[] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length === 3)
    .map(([name = '', first, count]) => ({ name, first: Number(first), count: Number(count) }))
}

/** Empty when there is no such file: the kernel lacks the setting, or the machine has no ids. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
