// A supervisor that a test kills: starts a small fleet in the given directory and prints its instances' pids.
import { readFileSync } from 'node:fs'
import { startFleet } from '../../../infra/local/fleet.ts'
import { sandboxed, smallFleet, source } from './small-fleet.ts'

const [directory = '', launcher] = process.argv.slice(2)
const fleet = await startFleet(
  smallFleet(directory, { launcher: launcher === 'bubblewrap' ? sandboxed : source }),
)
const servers = fleet.instances().map(({ pid }) => pid ?? 0)
const parents = servers.map((pid) =>
  Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
)
const sandboxes = parents.filter((pid) => pid !== process.pid)
console.log(JSON.stringify([...servers, ...sandboxes]))
