// What a process must know before it serves: its configuration, its region, its secrets. Owns: the order in which it
// learns them. Fails with InputError; what does not answer yet is waited for, until the process is told to stop.
import { createMetadata, ENDPOINT_VARIABLE, type Metadata } from '../fleet/metadata.ts'
import type { Config } from './schema.ts'
import { loadConfig, loadInstanceConfig, type LoadedConfig } from './load.ts'
import type { Log } from '../log.ts'
import { awsErrorFields } from '../aws/errors.ts'
import { checkOpenFiles } from '../open-files.ts'
import { retryUntilStopped, type StopContext } from '../retry-until-stopped.ts'
import { fillSecrets } from './secrets.ts'
import { checkSrsAlignment } from './srs-alignment.ts'

/** A file, or whatever this machine was started with. */
export type ConfigSource = { file: string } | 'instance'

/** @throws {InputError} all problems at once. @throws {StoppedError} */
export async function readConfig(source: ConfigSource, context: StopContext): Promise<LoadedConfig> {
  const loaded = source === 'instance' ? await loadInstanceConfig(context) : loadConfig(source.file)
  const { hostname, srs } = loaded.config
  const place = source === 'instance' ? 'configuration of the instance' : source.file
  checkOpenFiles(place, loaded.config)
  await checkSrsAlignment(place, srs, [hostname])
  return loaded
}

/**
 * Fills in what the configuration leaves to the instance's metadata and to SSM.
 * @throws {InputError} for a secret that will not do. @throws {StoppedError}
 */
export async function completeConfig(loaded: LoadedConfig, context: StopContext): Promise<LoadedConfig> {
  const { config } = loaded
  if (!usesAws(config)) return loaded
  prepareSdk(config)
  const region =
    config.aws.region ??
    process.env['AWS_REGION'] ??
    (await regionOf(createMetadata(config.aws.endpoints.metadata), context))
  const settled = { ...loaded, config: { ...config, aws: { ...config.aws, region } } }
  void sayMissingCredentials(settled.config, context.log)
  return fillSecrets(settled, context)
}

function usesAws({ queue, routes, srs, tls, fleet }: Config): boolean {
  const parameters = srs.secretsParameter !== undefined || tls?.keyParameter !== undefined
  return queue.engine === 'aws' || routes.kind === 's3' || parameters || fleet !== undefined
}

/** The SDK's credentials come from the same metadata service, and without a token it asks for none. */
function prepareSdk({ aws }: Config): void {
  process.env['AWS_EC2_METADATA_V1_DISABLED'] ??= 'true'
  const { metadata } = aws.endpoints
  if (metadata !== undefined) process.env[ENDPOINT_VARIABLE] ??= metadata
}

async function regionOf(metadata: Metadata, context: StopContext): Promise<string> {
  return retryUntilStopped(
    'region',
    async () => {
      const region = await metadata.get('meta-data/placement/region')
      if (region === null) throw new Error('the metadata service knows no region')
      return region
    },
    context,
  )
}

/** One sentence at start, whatever else the missing credentials will make fail. They may come later. */
async function sayMissingCredentials({ aws }: Config, log: Log): Promise<void> {
  const { ssmClient } = await import('../aws/clients.ts')
  const client = await ssmClient(aws)
  try {
    await client.config.credentials()
  } catch (error) {
    log('aws-credentials', awsErrorFields(error))
  }
  client.destroy()
}
