// An archive in an S3 bucket. The SDK finds region, credentials and endpoint. Owns: the client.
// Fails with InputError without a region or credentials, else with AWS's message in one sentence.
import type { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { explained } from '../publish/aws/clients.ts'
import { objectKey, objectNameOf, type Archive } from './file-source.ts'

/** The largest file, a kernel, has 40 MB. A line of 0.7 MB/s moves it in this time; no bake uses a slower one. */
const REQUEST_TIMEOUT_MS = 60_000

/** The archive below `prefix` of a bucket. Permissions: s3:GetObject, s3:PutObject, s3:ListBucket (else 403 for 404). */
export function s3Archive(bucket: string, prefix: string, env: NodeJS.ProcessEnv = process.env): Archive {
  const client = new S3Client({
    // A custom endpoint has no host name for each bucket.
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
      const found = await orNull(client.send(new GetObjectCommand(at(objectKey(objectNameOf(file))))))
      return (found?.Body as Readable | undefined) ?? null
    },
    has: async (object, sizeBytes) => {
      const found = await orNull(client.send(new HeadObjectCommand(at(objectKey(object)))))
      return found?.ContentLength === sizeBytes
    },
    // `has` fails at once when the bucket cannot be used.
    prepare: async () => {},
    put: async (object, content) => {
      // S3 checks the hash before the object becomes visible (S3 user guide, "Checking object integrity").
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

/** True for a missing object, false for a missing bucket. */
function isNotThere(error: unknown): boolean {
  const { name } = error as Error
  return name === 'NoSuchKey' || name === 'NotFound'
}
