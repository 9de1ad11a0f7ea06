// `mailfleet image verify`: checks everything beside a disk against its bytes. Exit 1 when something does not fit.
import type { Command } from 'commander'
import { verifyImage } from '../../../images/describe/verify.ts'
import { readKey } from '../../../images/formats/dsse.ts'
import { bakedImage } from '../../baked-image.ts'
import type { CommandContext } from '../../options.ts'

export default function addVerify(image: Command, { project }: CommandContext): void {
  image
    .command('verify')
    .description('check everything beside a disk against its bytes: manifest, files, SBOM, lock, provenance')
    .argument('[image]', 'its folder or digest; the newest by default')
    .option('--key <file>', 'a public key (PEM) that must have signed the provenance')
    .action(async (name: string | undefined, { key: keyFile }: { key?: string }) => {
      const key = keyFile === undefined ? undefined : readKey(keyFile, 'public')
      const { digest, checked, problems } = await verifyImage(bakedImage(project, name).folder, key)
      const signed =
        key === undefined ? 'no signature was asked for (--key)' : 'its provenance is signed by the key'
      if (problems.length === 0) console.log(`${digest}: ${checked.join(', ')} belong together; ${signed}`)
      for (const problem of problems) console.log(problem)
      process.exitCode = problems.length === 0 ? 0 : 1
    })
}
