// An archive in an S3 bucket. Region, credentials and endpoint come from where the SDK finds them. Owns: one client.
// Fails with InputError when there is no region or there are no credentials, else with what AWS said in a sentence.
import type { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { explained } from '../publish/aws/clients.ts'
import type { Archive } from './archive.ts'
import { objectKey, objectOf } from './place.ts'

/** The largest file, a kernel, is 40 MB: 0.7 MB/s, the slowest line worth baking on, moves it in this time. */
const REQUEST_TIMEOUT_MS = 60_000

/** The archive below `prefix` of a bucket. Permissions: s3:GetObject, s3:PutObject, s3:ListBucket (else 403 for 404). */
export function s3Archive(bucket: string, prefix: string, env: NodeJS.ProcessEnv = process.env): Archive {
  const client = new S3Client({
    // An endpoint of one's own has no name for each bucket.
    forcePathStyle: (env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL']) !== undefined,
    requestHandler: { requestTimeout: REQUEST_TIMEOUT_MS, socketTimeout: REQUEST_TIMEOUT_MS },
  })
  const at = (path: string) => ({ Bucket: bucket, Key: prefix === '' ? path : `${prefix}/${path}` })
  const orNull = <T>(work: Promise<T>): Promise<T | null> =>
    explained(
      work.catch((error: unknown) => {
        if (isNotThere(error)) return null
        throw error
      }),
    )
  return {
    role: 'archive',
    name: `archive s3://${bucket}/${prefix}`,
    open: async (file) => {
      const found = await orNull(client.send(new GetObjectCommand(at(objectKey(objectOf(file))))))
      return (found?.Body as Readable | undefined) ?? null
    },
    has: async (object, sizeBytes) => {
      const found = await orNull(client.send(new HeadObjectCommand(at(objectKey(object)))))
      return found?.ContentLength === sizeBytes
    },
    // The first question about an object fails at once where the bucket cannot be used.
    prepare: async () => {},
    put: async (object, content) => {
      // Checked by S3 before the object stands under its name ("Checking object integrity" of the S3 user guide).
      const checksum =
        object.algorithm === 'sha256'
          ? { ChecksumSHA256: Buffer.from(object.hex, 'hex').toString('base64') }
          : {}
      const put = new PutObjectCommand({ ...at(objectKey(object)), Body: content, ...checksum })
      await explained(client.send(put))
    },
    putLock: async (hex, text) => {
      const put = { ...at(`locks/${hex}.json`), Body: text, ContentType: 'application/json' }
      await explained(client.send(new PutObjectCommand(put)))
    },
  }
}

/** A missing bucket is not a missing object. */
function isNotThere(error: unknown): boolean {
  const { name } = error as Error
  return name === 'NoSuchKey' || name === 'NotFound'
}
