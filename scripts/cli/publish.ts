// `mailfleet image publish`: names, options and help of the command that brings an image to AWS.
import { InvalidArgumentError, type Command } from 'commander'
import type { Verify } from '../../images/publish/read-back.ts'
import { listed, RECEIPT_KEY, regionName, regionNames, type Context } from './context.ts'

type PublishFlags = {
  region?: string
  copyTo?: string[]
  share?: string[]
  parent?: string
  kmsKey?: string
  encrypt?: true
  verify: Verify
  dryRun?: true
  allowUnlocked?: true
  allowVolatile?: true
  receiptKey?: string
  json?: true
}

/** Adds the command to `mailfleet image`. */
export function addPublishCommands(image: Command, { project, signal }: Context): void {
  image
    .command('publish')
    .description(
      'make AMIs of a boot-tested image in regions of AWS; what is there already is not made again',
    )
    .argument('[image]', 'its folder or digest; the newest by default')
    .option('--region <name>', 'where it is uploaded to; by default AWS_REGION, or the profile’s', regionName)
    .option('--copy-to <regions>', 'regions that AWS copies it to, with commas', perhapsRegions)
    .option('--share <accounts>', 'accounts that may launch it, with commas', perhapsListed)
    .option(
      '--parent <ami>',
      'send only what differs from this AMI; `none`, or `auto`: the newest of ours (default)',
    )
    .option(
      '--dry-run',
      'only say what it would take; no account, no network. Writes build/reports/publish-plan.json',
    )
    .option('--encrypt', 'encrypt the snapshots (each account’s default applies otherwise)')
    .option('--kms-key <arn>', 'encrypt them with this key')
    .option(
      '--verify [what]',
      'read `all` blocks, a `sample` or `none` back (default sample)',
      verify,
      'sample',
    )
    .option('--allow-unlocked', 'even if its packages are not those of the committed lock')
    .option('--allow-volatile', 'even if its queue is lost with the instance')
    .option(...RECEIPT_KEY)
    .option('--json', 'print the result as JSON')
    .action(async (name: string | undefined, { dryRun, ...flags }: PublishFlags) => {
      const { imagePublish, imagePublishPlan } = await import('../publish.ts')
      const options = {
        ...{ project, signal, ...(name === undefined ? {} : { image: name }) },
        ...{ ...flags, json: flags.json ?? false, copyTo: flags.copyTo ?? [], share: flags.share ?? [] },
        // Without a value: as much as there is.
        verify: (flags.verify as Verify | true) === true ? 'all' : flags.verify,
        ...{ allowUnlocked: flags.allowUnlocked ?? false, allowVolatile: flags.allowVolatile ?? false },
        encrypt: flags.encrypt ?? flags.kmsKey !== undefined,
      } as const
      process.exitCode = await (dryRun ? imagePublishPlan(options) : imagePublish(options))
    })
}

/** A pipeline's variable may be empty. */
const perhapsListed = (text: string) => (text === '' ? [] : listed(text))
const perhapsRegions = (text: string) => (text === '' ? [] : regionNames(text))

function verify(text: string): Verify {
  if (text === 'all' || text === 'sample' || text === 'none') return text
  throw new InvalidArgumentError('expected all, sample or none.')
}
