// A process that bakes with the options in its argument, in the environment that it was given, and prints the digest.
// Fails with the bake's message on standard error.
import { buildImage, type BuildOptions } from '../../bake/bake.ts'

process.umask(Number(process.env['BAKE_UMASK']))
const { digest } = await buildImage(JSON.parse(process.argv[2] ?? '') as BuildOptions)
console.log(digest)
