// Reads the configuration, then adds the region and the secrets. Owns: the order of these steps. Fails with InputError;
// a service that does not answer is retried until the process is told to stop.
import { createMetadata, ENDPOINT_VARIABLE, type Metadata } from '../fleet/metadata.ts'
import type { Config } from './schema.ts'
import { loadConfig, loadInstanceConfig, type LoadedConfig } from './load.ts'
import type { Log } from '../log.ts'
import { awsErrorFields } from '../aws/errors.ts'
import { checkOpenFiles } from '../open-files.ts'
import { retryUntilStopped, type StopContext } from '../retry-until-stopped.ts'
import { fillSecrets } from './secrets.ts'
import { checkSrsAlignment } from './srs-alignment.ts'

/** A configuration file, or this machine's systemd credential or user data. */
export type ConfigSource = { file: string } | 'instance'

/** Reads and checks the configuration. @throws {InputError} with every problem. @throws {StoppedError} */
export async function readConfig(source: ConfigSource, context: StopContext): Promise<LoadedConfig> {
  const loaded = source === 'instance' ? await loadInstanceConfig(context) : loadConfig(source.file)
  const { hostname, srs } = loaded.config
  const place = source === 'instance' ? 'configuration of the instance' : source.file
  checkOpenFiles(place, loaded.config)
  await checkSrsAlignment(place, srs, [hostname])
  return loaded
}

/**
 * Adds the values that the configuration leaves to the instance metadata and to SSM.
 * @throws {InputError} for an unusable secret. @throws {StoppedError}
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
  void logMissingCredentials(settled.config, context.log)
  return fillSecrets(settled, context)
}

function usesAws({ queue, routes, srs, tls, fleet }: Config): boolean {
  const parameters = srs.secretsParameter !== undefined || tls?.keyParameter !== undefined
  return queue.engine === 'aws' || routes.kind === 's3' || parameters || fleet !== undefined
}

/** Points the SDK's credential provider at the same metadata service. IMDSv1 stays off: no fallback without a token. */
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

/** Logs one line if the instance has no credentials at start. The server goes on: they may come later. */
async function logMissingCredentials({ aws }: Config, log: Log): Promise<void> {
  const { ssmClient } = await import('../aws/clients.ts')
  const client = await ssmClient(aws)
  try {
    await client.config.credentials()
  } catch (error) {
    log('aws-credentials', awsErrorFields(error))
  }
  client.destroy()
}
