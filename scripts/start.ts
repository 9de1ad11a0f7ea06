// The main job on this machine. Owns: the order of the steps and what is printed of them.
export async function start(o: {
  root: string
  json: boolean
  retest: boolean
  signal: AbortSignal
}): Promise<number> {
  await Promise.resolve(o)
  console.error(
    'nothing on the line yet: server, queue, bake, boot test, fleet, storm and report are missing',
  )
  return 0
}
