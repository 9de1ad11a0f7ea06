// `mailfleet image publish`: makes AMIs of a boot-tested image. With --dry-run it prints the plan and needs no account.
// Owns: the progress bar, the bake that a dry run needs on a clean clone, and build/reports/publish-plan.json.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { buildImage } from '../../../images/bake/bake.ts'
import { trustedReceiptKeys } from '../../../images/boot/receipt-key.ts'
import { connectAws } from '../../../images/publish/aws/clients.ts'
import { surveyImage, type GateExceptions } from '../../../images/publish/gate.ts'
import { planPublish, type PublishPlan } from '../../../images/publish/plan.ts'
import type { ParentChoice } from '../../../images/publish/snapshot/parent.ts'
import { publishToAws, type PublishResult } from '../../../images/publish/publish.ts'
import type { ReadBackScope } from '../../../images/publish/snapshot/read-back.ts'
import { checkRegionOfEnvironment } from '../../../images/publish/aws/region-name.ts'
import { checkSharing } from '../../../images/publish/share.ts'
import { InputError } from '../../../input/problems.ts'
import type { OnProgress } from '../../../platform/progress.ts'
import { bakedImage } from '../../baked-image.ts'
import {
  listed,
  progressOnStderr,
  RECEIPT_KEY,
  regionName,
  regionNames,
  type CommandContext,
  type CommonOptions,
} from '../../options.ts'
import type { Project } from '../../project.ts'
import { writeReport } from '../../report-file.ts'
import { runSteps, untilAborted, type Step } from '../../steps.ts'

type PublishFlags = {
  region?: string
  copyTo?: string[]
  share?: string[]
  parent?: string
  kmsKey?: string
  encrypt?: true
  verify: ReadBackScope
  dryRun?: true
  allowUnlocked?: true
  allowVolatile?: true
  receiptKey?: string
  json?: true
}

export type PublishCommand = CommonOptions &
  GateExceptions & {
    image?: string
    region?: string
    copyTo: string[]
    share: string[]
    parent?: string
    encrypt: boolean
    kmsKey?: string
    verify: ReadBackScope
    /** A file with the public keys whose receipts count. */
    receiptKey?: string
  }

export default function addPublish(image: Command, context: CommandContext): void {
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
      'only print what it would take; no account, no network. Writes build/reports/publish-plan.json',
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
      const options: PublishCommand = {
        ...context,
        ...flags,
        ...(name === undefined ? {} : { image: name }),
        json: flags.json ?? false,
        copyTo: flags.copyTo ?? [],
        share: flags.share ?? [],
        // --verify without a value reads everything.
        verify: (flags.verify as ReadBackScope | true) === true ? 'all' : flags.verify,
        allowUnlocked: flags.allowUnlocked ?? false,
        allowVolatile: flags.allowVolatile ?? false,
        encrypt: flags.encrypt ?? flags.kmsKey !== undefined,
      }
      process.exitCode = await (dryRun ? imagePublishPlan(options) : publishImage(options))
    })
}

/** A pipeline's variable may be empty. */
const perhapsListed = (text: string) => (text === '' ? [] : listed(text))
const perhapsRegions = (text: string) => (text === '' ? [] : regionNames(text))

function verify(text: string): ReadBackScope {
  if (text === 'all' || text === 'sample' || text === 'none') return text
  throw new InvalidArgumentError('expected all, sample or none.')
}

/** Publishes a boot-tested image to regions, as a snapshot and an AMI in each. @returns 1 when a region failed */
async function publishImage(o: PublishCommand): Promise<number> {
  const { digest, folder } = bakedImage(o.project, o.image)
  const parent = parentChoice(o.parent)
  const receiptKeys = trustedReceiptKeys(process.env, o.receiptKey)
  const aws = await connectAws(o.region === undefined ? {} : { region: o.region })
  const others = o.copyTo.filter((region) => region !== aws.region)
  const copyTo = await Promise.all(others.map((region) => connectAws({ region })))
  let result: PublishResult | undefined
  const step: Step = {
    title: `Publish ${digest.slice(0, 12)} to ${[aws, ...copyTo].map(({ region }) => region).join(', ')}`,
    run: async (onProgress) => {
      const wish = { ...o, folder, parent, aws, copyTo, receiptKeys, commit: commitOf(o.project) }
      result = await publishToAws({ ...wish, ...reporting(o, onProgress) })
      return [result, ...result.copies]
        .map(({ imageId, cached }) => `${imageId}${cached ? ', which was there already' : ''}`)
        .join('; ')
    },
  }
  await runSteps([step], { out: outOf(o), signal: o.signal })
  for (const { region, problem } of result!.failed) console.error(`${region}: ${problem}`)
  if (result!.failed.length > 0) console.error('publish again to finish what failed')
  if (o.json) console.log(JSON.stringify(result, null, 2))
  else console.log('next: npx mailfleet image promote --channel prod')
  return result!.failed.length > 0 ? 1 : 0
}

/** @throws {InputError} */
function parentChoice(found = 'auto'): ParentChoice {
  if (found === 'auto' || found === 'none' || /^ami-[0-9a-f]+$/.test(found)) return found as ParentChoice
  const expected = 'auto, none, or the id of an AMI (with --dry-run: the folder or digest of an image here)'
  throw new InputError('the options', [{ key: '--parent', found, expected }])
}

/**
 * Prints what publishing would take, without AWS. Bakes the image first if there is none.
 * @param o.parent folder or digest of an image that is here: the upload is counted as over a snapshot of it
 */
export async function imagePublishPlan(o: PublishCommand): Promise<number> {
  if (o.region === undefined) checkRegionOfEnvironment(process.env)
  checkSharing(o.share, o)
  const baked = o.image !== undefined || existsSync(join(o.project.imagesDir, 'latest'))
  if (!baked) await bake(o)
  const image = await surveyImage(bakedImage(o.project, o.image).folder, o.signal)
  const { parent: name, ...rest } = o
  const isNone = name === undefined || name === 'none' || name === 'auto'
  const parent = isNone ? null : await surveyImage(bakedImage(o.project, name, '--parent').folder, o.signal)
  const receiptKeys = trustedReceiptKeys(process.env, o.receiptKey)
  const plan = planPublish(image, {
    ...rest,
    receiptKeys,
    ...(parent === null ? {} : { parent: parent.survey }),
  })
  const file = writeReport(o.project.reportsDir, 'publish-plan.json', plan)
  console.log(o.json ? JSON.stringify(plan, null, 2) : planText(plan, relative(o.project.root, file)))
  return 0
}

/** Locked packages that can no longer be had are replaced, as `mailfleet start` does: a dry run publishes nothing. */
async function bake({ project, signal }: CommonOptions): Promise<void> {
  const { specFile, lockFile, localLockFile, cacheDir, serverEntry, imagesDir } = project
  const baking = buildImage({
    specFile,
    lockFile,
    cacheDir,
    serverEntry,
    outDir: imagesDir,
    relockInto: localLockFile,
    onProgress: progressOnStderr,
  })
  await untilAborted(baking, signal)
}

function planText(plan: PublishPlan, file: string): string {
  const { digest, blocks, bytes, diskBytes, upload, requests, requestsUsd, storageUsdPerMonth, costUsd } =
    plan
  return [
    `image     ${digest}`,
    `holds     ${blocks} blocks of 512 KiB, ${mebibytes(bytes)} MiB of ${mebibytes(diskBytes)} (the rest is zero)`,
    `upload    ${upload.blocks} blocks, ${mebibytes(upload.bytes)} MiB${
      upload.parent === null ? '' : `, ${upload.zeroed} of them zeroed, over ${upload.parent}`
    }`,
    `requests  ${requests}`,
    `cost      $${costUsd.toFixed(4)}: $${requestsUsd.toFixed(4)} once, $${storageUsdPerMonth.toFixed(4)} a month for the snapshot`,
    plan.receipt.passes
      ? 'receipt   these bytes were boot-tested: they may be published'
      : `receipt   these bytes may not be published:\n${plan.receipt.problem}`,
    `plan      ${file}`,
  ].join('\n')
}

/** A bar that moves on a terminal; elsewhere one line for every tenth of the way. */
function reporting(
  o: CommonOptions,
  onProgress: OnProgress,
): { onProgress: OnProgress; onBytes: (sent: number, total: number) => void } {
  const onTerminal = outOf(o).isTTY && !o.json
  let first: { sent: number; atMs: number } | undefined
  let shown = 0
  const onBytes = (sent: number, total: number) => {
    first ??= { sent, atMs: Date.now() }
    const percent = Math.floor((sent / total) * 100)
    const step = onTerminal ? percent : Math.floor(percent / 10) * 10
    if (step === shown) return
    shown = step
    const rate = (sent - first.sent) / 1024 ** 2 / Math.max((Date.now() - first.atMs) / 1000, 0.001)
    const bar = '█'.repeat(percent / 5).padEnd(20, '░')
    onProgress(`${bar} ${percent} %, ${mebibytes(sent)} of ${mebibytes(total)} MiB, ${rate.toFixed(1)} MiB/s`)
  }
  return { onProgress, onBytes }
}

const outOf = ({ json }: CommonOptions) => (json ? process.stderr : process.stdout)
const mebibytes = (bytes: number) => Math.round(bytes / 1024 ** 2)

/** The checkout's commit, for the image's tags; `unknown` where there is no Git. */
function commitOf({ root }: Project): string {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  const head = git('rev-parse', 'HEAD')
  if (head.status !== 0) return 'unknown'
  const changed = git('status', '--porcelain', '--untracked-files=no').stdout !== ''
  return `${head.stdout.trim()}${changed ? ' with changes' : ''}`
}
