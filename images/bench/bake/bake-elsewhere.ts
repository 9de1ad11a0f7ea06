// Bakes in a process of its own, with the options in its argument, and prints the digest.
// The caller sets its environment.
// Fails with the bake's message on standard error.
import { buildImage, type BuildOptions } from '../../bake/bake.ts'

process.umask(Number(process.env['BAKE_UMASK']))
const { digest } = await buildImage(JSON.parse(process.argv[2] ?? '') as BuildOptions)
console.log(digest)
