// What a test needs to publish a fake image: the proxy before moto, the clients, the options and the progress lines.
import { DescribeSnapshotsCommand, type Snapshot } from '@aws-sdk/client-ec2'
import type { TestContext } from 'node:test'
import { connectAws } from '../../../images/publish/aws/clients.ts'
import type { PublishOptions } from '../../../images/publish/publish.ts'
import type { Moto } from '../aws/moto.ts'
import { startEbsProxy } from '../aws/ebs-proxy.ts'
import { SHORT_LIMITS, RECEIPT_KEYS, type MadeUpImage } from './fake-image.ts'

export async function publishing(moto: Moto, t: TestContext, image: MadeUpImage) {
  const proxy = await startEbsProxy(moto.client.endpoint)
  t.after(proxy.close)
  const aws = await connectAws({ ...moto.client, endpoint: proxy.endpoint })
  const clientsOf = (region: string) => connectAws({ ...moto.client, endpoint: proxy.endpoint, region })
  const said: string[] = []
  const options: PublishOptions = {
    folder: image.folder,
    aws,
    commit: 'abc123',
    copyTo: [],
    share: [],
    limits: SHORT_LIMITS,
    allowUnlocked: false,
    allowVolatile: false,
    encrypt: false,
    verify: 'sample',
    parent: 'none',
    receiptKeys: RECEIPT_KEYS,
    signal: new AbortController().signal,
    onProgress: (line) => said.push(line),
    onBytes: () => {},
  }
  /** Those in AWS with the image's digest. */
  const snapshots = async (): Promise<Snapshot[]> => {
    const Filters = [{ Name: 'tag:mailfleet:digest', Values: [image.digest] }]
    const { Snapshots = [] } = await aws.ec2.send(new DescribeSnapshotsCommand({ Filters }))
    return Snapshots
  }
  return { proxy, aws, clientsOf, said, options, snapshots }
}
