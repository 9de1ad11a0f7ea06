// The mail queue: two SQS queues with dead letters, a bucket for large bodies and routes, a table for delivery state.
// It belongs to no instance and outlives them all.
// Owns: retention. No resource may expire before its mail. Replacing one loses mail: `protect` in the options prevents it.
import * as dynamodb from '@pulumi/aws/dynamodb/index.js'
import * as s3 from '@pulumi/aws/s3/index.js'
import * as sqs from '@pulumi/aws/sqs/index.js'
import * as pulumi from '@pulumi/pulumi'
import { DEFAULT_LEASE_MS, MAX_RETRY_LIFETIME_DAYS } from '../../contract/queue-times.ts'
import { BODIES_PREFIX, ROUTES_KEY } from '../../contract/storage-names.ts'

const DAY_SECONDS = 86_400
/** The longest that SQS allows. */
const RETENTION_DAYS = 14
/**
 * For bodies that no instance removed. A forwarded SQS message starts its retention anew. So a body may be needed after
 * the longest retry lifetime (30 days) plus 14 days in each of the two queues.
 */
const BODY_DAYS = MAX_RETRY_LIFETIME_DAYS + 2 * RETENTION_DAYS + 2
/** A message that kills its instance returns by timeout. After so many receives it goes to the dead letters. */
const MAX_RECEIVES = 12

export type MailQueueArgs = {
  /** Path of the file that becomes the routes object. */
  routesFile: string
  protect: boolean
}

export type QueueRef = {
  url: pulumi.Output<string>
  arn: pulumi.Output<string>
  name: pulumi.Output<string>
}

export class MailQueue extends pulumi.ComponentResource {
  readonly ready: QueueRef
  readonly deferred: QueueRef
  readonly deadLetters: QueueRef
  readonly bucket: { name: pulumi.Output<string>; arn: pulumi.Output<string> }
  readonly table: { name: pulumi.Output<string>; arn: pulumi.Output<string> }

  constructor(name: string, args: MailQueueArgs, opts?: pulumi.ComponentResourceOptions) {
    super('mailfleet:aws:MailQueue', name, {}, opts)
    const deadLetters = this.#queue(`${name}-dead-letters`)
    const redrivePolicy = pulumi.jsonStringify({
      deadLetterTargetArn: deadLetters.arn,
      maxReceiveCount: MAX_RECEIVES,
    })
    const ready = this.#queue(`${name}-ready`, redrivePolicy)
    const deferred = this.#queue(`${name}-deferred`, redrivePolicy)
    new sqs.RedriveAllowPolicy(
      `${name}-dead-letters`,
      {
        queueUrl: deadLetters.url,
        redriveAllowPolicy: pulumi.jsonStringify({
          redrivePermission: 'byQueue',
          sourceQueueArns: [ready.arn, deferred.arn],
        }),
      },
      { parent: this },
    )
    const names = ({ url, arn, name }: sqs.Queue): QueueRef => ({ url, arn, name })
    this.ready = names(ready)
    this.deferred = names(deferred)
    this.deadLetters = names(deadLetters)
    const bucket = this.#bucket(name, args.protect)
    this.#routes(name, bucket, args.routesFile)
    this.bucket = { name: bucket.bucket, arn: bucket.arn }
    const table = this.#table(name, args.protect)
    this.table = { name: table.name, arn: table.arn }
    this.registerOutputs({ readyUrl: ready.url, deferredUrl: deferred.url, bucket: bucket.bucket })
  }

  #queue(name: string, redrivePolicy?: pulumi.Output<string>): sqs.Queue {
    const queue = new sqs.Queue(
      name,
      {
        messageRetentionSeconds: RETENTION_DAYS * DAY_SECONDS,
        visibilityTimeoutSeconds: DEFAULT_LEASE_MS / 1000,
        receiveWaitTimeSeconds: 20,
        sqsManagedSseEnabled: true,
        redrivePolicy,
      },
      { parent: this },
    )
    const policy = pulumi.jsonStringify(onlyOverTls('sqs:*', [queue.arn]))
    new sqs.QueuePolicy(name, { queueUrl: queue.url, policy }, { parent: this })
    return queue
  }

  #bucket(name: string, protect: boolean): s3.Bucket {
    // S3 does not delete a bucket with objects. An unprotected stack must be deletable, with the mail in it.
    const bucket = new s3.Bucket(name, { forceDestroy: !protect }, { parent: this })
    const parent = { parent: this }
    const access = new s3.BucketPublicAccessBlock(
      name,
      {
        bucket: bucket.bucket,
        blockPublicAcls: true,
        blockPublicPolicy: true,
        ignorePublicAcls: true,
        restrictPublicBuckets: true,
      },
      parent,
    )
    new s3.BucketServerSideEncryptionConfiguration(
      name,
      {
        bucket: bucket.bucket,
        rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: 'AES256' } }],
      },
      parent,
    )
    new s3.BucketLifecycleConfiguration(
      name,
      {
        bucket: bucket.bucket,
        rules: [
          {
            id: 'bodies',
            status: 'Enabled',
            filter: { prefix: BODIES_PREFIX },
            expiration: { days: BODY_DAYS },
            abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
          },
        ],
      },
      parent,
    )
    const resources = [bucket.arn, pulumi.interpolate`${bucket.arn}/*`]
    const policy = pulumi.jsonStringify(onlyOverTls('s3:*', resources))
    // S3 refuses to change bucket policy and public access block at the same time.
    new s3.BucketPolicy(name, { bucket: bucket.bucket, policy }, { parent: this, dependsOn: [access] })
    return bucket
  }

  #routes(name: string, bucket: s3.Bucket, file: string): void {
    new s3.BucketObjectv2(
      `${name}-routes`,
      {
        bucket: bucket.bucket,
        key: ROUTES_KEY,
        source: new pulumi.asset.FileAsset(file),
        contentType: 'application/yaml',
      },
      { parent: this },
    )
  }

  #table(name: string, protect: boolean): dynamodb.Table {
    return new dynamodb.Table(
      name,
      {
        billingMode: 'PAY_PER_REQUEST',
        hashKey: 'pk',
        rangeKey: 'sk',
        attributes: [
          { name: 'pk', type: 'S' },
          { name: 'sk', type: 'S' },
        ],
        ttl: { attributeName: 'ttl', enabled: true },
        pointInTimeRecovery: { enabled: true },
        deletionProtectionEnabled: protect,
      },
      { parent: this },
    )
  }
}

/** Denies calls without TLS. A Deny statement may name all actions, since it grants none. */
function onlyOverTls(actions: string, resources: pulumi.Input<string>[]) {
  return {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'OnlyOverTls',
        Effect: 'Deny',
        Principal: '*',
        Action: actions,
        Resource: resources,
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      },
    ],
  }
}
