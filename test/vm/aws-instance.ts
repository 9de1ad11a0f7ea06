// Boots the baked image as an AWS instance, which learns every address from its metadata service.
// Owns the fake region on loopback (metadata, Auto Scaling, SQS, S3, DynamoDB, mailboxes).
// The guest reaches one address for each of them, and no other. Fails with the guest's last console lines.
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { chooseAccel, probeKvm } from '../../images/boot/qemu/acceleration.ts'
import { startMachine, TAIL_LINES } from '../../images/boot/qemu/machine.ts'
import { ADMIN_PORT, FIRST_PASSED_FD, SMTP_PORT } from '../../contract/ports.ts'
import { startAutoScaling } from '../kit/aws/auto-scaling.ts'
import { startAwsQueue } from '../kit/aws/aws-queue.ts'
import { startMetadata } from '../kit/aws/metadata.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../contract/lifecycle-hooks.ts'
import { ROUTES_KEY } from '../../contract/storage-names.ts'

/** An emulated boot that loads the AWS SDK takes most of a minute on an idle machine. */
const PATIENCE_MS = 300_000
const LOOK_MS = 200

/** QEMU forwards only addresses of the guest's own network, so that network contains the metadata address. */
const SUBNET = '169.254.169.0/24'
const METADATA = { host: '169.254.169.254', port: 80 }
const SQS_AND_S3 = { host: '169.254.169.100', port: 4566 }
const DYNAMODB = { host: '169.254.169.101', port: 8000 }
const AUTO_SCALING = { host: '169.254.169.102', port: 8001 }
const MAILBOXES = { host: '169.254.169.103', port: 2526 }

type Address = { host: string; port: number }
const urlOf = ({ host, port }: Address) => `http://${host}:${port}`
const portOf = (url: string) => Number(new URL(url).port)

export type Region = Awaited<ReturnType<typeof startRegion>>

/** Starts every service that the instance connects to. */
export async function startRegion(t: TestContext, settings: { routes: object; sinkPort: number }) {
  const aws = await startAwsQueue()
  const autoScaling = await startAutoScaling({ group: 'mailfleet-test' })
  const stores = await aws.createStores()
  const { bucket } = stores.queue
  const s3 = new S3Client({ endpoint: aws.endpoints.s3, forcePathStyle: true })
  const routes = { Bucket: bucket, Key: ROUTES_KEY, Body: JSON.stringify(settings.routes) }
  await s3.send(new PutObjectCommand(routes))
  s3.destroy()
  const metadata = await startMetadata({
    target: 'InService',
    role: 'mailfleet-test',
    userData: JSON.stringify(instanceConfig(stores.queue)),
  })
  t.after(async () => {
    metadata.close()
    autoScaling.close()
    await aws.stop()
  })
  const ways = [
    { ...METADATA, hostPort: portOf(metadata.url) },
    { ...SQS_AND_S3, hostPort: portOf(aws.endpoints.sqs) },
    { ...DYNAMODB, hostPort: portOf(aws.endpoints.dynamodb) },
    { ...AUTO_SCALING, hostPort: portOf(autoScaling.url) },
    { ...MAILBOXES, hostPort: settings.sinkPort },
  ]
  return {
    metadata,
    autoScaling,
    ways,
    /** The number of messages in each state. */
    count: () => {
      const of = (name: string) => aws.fauxqs.inspectQueue(name)?.messages
      const [ready, deferred] = [of(stores.names.ready), of(stores.names.deferred)]
      return {
        ready: (ready?.ready.length ?? 0) + (ready?.delayed.length ?? 0),
        inFlight: (ready?.inflight.length ?? 0) + (deferred?.inflight.length ?? 0),
        deferred: (deferred?.ready.length ?? 0) + (deferred?.delayed.length ?? 0),
        dead: aws.deadLetters(stores),
      }
    },
  }
}

/** The configuration as the Pulumi program writes it, plus endpoints, which real AWS does not need. */
function instanceConfig(
  queue: Record<string, unknown> & { readyUrl: string; deferredUrl: string; bucket: string },
) {
  const inside = (url: string) => `${urlOf(SQS_AND_S3)}${new URL(url).pathname}`
  return {
    hostname: 'mx.example.net',
    postmaster: 'ops@mailbox.example',
    listen: { smtp: { fd: FIRST_PASSED_FD }, admin: { host: '0.0.0.0', port: ADMIN_PORT } },
    queue: {
      ...queue,
      readyUrl: inside(queue.readyUrl),
      deferredUrl: inside(queue.deferredUrl),
      waitSeconds: 1,
    },
    aws: {
      endpoints: {
        sqs: urlOf(SQS_AND_S3),
        s3: urlOf(SQS_AND_S3),
        dynamodb: urlOf(DYNAMODB),
        autoscaling: urlOf(AUTO_SCALING),
      },
    },
    routes: { bucket: queue.bucket, key: ROUTES_KEY },
    srs: { domain: 'srs.example.com', secrets: ['a secret of this test, which keeps nothing'] },
    delivery: { relay: MAILBOXES, concurrency: 4 },
    drain: { timeoutMs: 120_000 },
    fleet: {
      name: 'mailfleet-test',
      launchHook: LAUNCH_HOOK,
      terminateHook: TERMINATE_HOOK,
      pollMs: 1_000,
      heartbeatMs: 2_000,
    },
  }
}

/**
 * Boots the image in the region. On EC2 the instance ignores credentials and asks the metadata service instead.
 * The credential given here would stop the server, so a boot that forwards mail proves that it was ignored.
 */
export async function bootInstance(t: TestContext, region: Region, image: { disk: string }, workDir: string) {
  const running = await startMachine(
    {
      accel: await chooseAccel('auto', () => probeKvm(workDir)),
      disks: [{ name: 'image', file: image.disk, writable: false }],
      network: {
        subnet: SUBNET,
        restrict: true,
        hostToGuest: [SMTP_PORT, ADMIN_PORT],
        guestToHost: region.ways,
      },
      maker: 'Amazon EC2',
      credentials: { 'mailfleet.config': '{}' },
    },
    { workDir },
  )
  t.after(() => running.kill())
  const admin = running.ports.get(ADMIN_PORT) ?? 0

  /** Waits until `holds` returns true. @throws {Error} when the guest goes down or the timeout ends. */
  async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!(await holds())) {
      if (running.hasEnded() || performance.now() > deadline) {
        const why = running.hasEnded() ? 'the guest went down' : 'it did not happen'
        throw new Error(`${what}: ${why}\n${running.console.tail(TAIL_LINES).join('\n')}`)
      }
      await sleep(LOOK_MS)
    }
  }

  return {
    port: running.ports.get(SMTP_PORT) ?? 0,
    seconds: () => Math.round(running.seconds()),
    /** The lines that the guest has printed on its serial console. */
    console: () => running.console.lines().map(({ text }) => text),
    until,
    status: async (path: string): Promise<number | null> => {
      try {
        return (await fetch(`http://127.0.0.1:${admin}${path}`, { signal: AbortSignal.timeout(5_000) }))
          .status
      } catch {
        return null
      }
    },
  }
}
