// Stores bodies that are too large for a queue message in S3. Owns: their keys. The bucket's lifecycle rule deletes
// orphaned bodies. Fails with the SDK's error; a missing body is an error too.
import { BODIES_PREFIX } from '../../../contract/storage-names.ts'
import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { s3Client, type AwsSettings } from '../../aws/clients.ts'

/**
 * Time for the largest message of the default configuration, 35 MiB, at 5 Mbit/s: one of several on a small instance.
 */
const CALL_SECONDS = 60

const keyOf = (id: string) => `${BODIES_PREFIX}${id}`

export type BodyStore = Awaited<ReturnType<typeof openBodyStore>>

export async function openBodyStore(aws: AwsSettings, bucket: string) {
  const client = await s3Client(aws, { callSeconds: CALL_SECONDS })
  return {
    /** Resolves when the body is stored in at least three zones. */
    put: async (id: string, body: Buffer): Promise<void> => {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: keyOf(id), Body: body }))
    },
    get: async (id: string): Promise<Buffer> => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: keyOf(id) }))
      if (Body === undefined) throw new Error(`the body of entry ${id} came without content`)
      return Buffer.from(await Body.transformToByteArray())
    },
    remove: async (id: string): Promise<void> => {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: keyOf(id) }))
    },
    close: () => client.destroy(),
  }
}
