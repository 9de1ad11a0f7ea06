// A process of its own that bakes what its argument says, in surroundings that its environment sets, and prints the
// digest. Owns nothing: see bake.ts. Fails with the bake's message on standard error.
import { buildImage, type BuildOptions } from '../../bake/bake.ts'

process.umask(Number(process.env['BAKE_UMASK']))
const { digest } = await buildImage(JSON.parse(process.argv[2] ?? '') as BuildOptions)
console.log(digest)
