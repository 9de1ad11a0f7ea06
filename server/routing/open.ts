// Opens the routes that the configuration names. Owns: the choice of the source, and counting and logging of each load.
// Loads the AWS SDK only for routes in S3.
import { s3Client } from '../aws/clients.ts'
import type { Config } from '../config/schema.ts'
import type { Metrics } from '../metrics.ts'
import type { Log } from '../log.ts'
import { checkRoutes } from './check.ts'
import { openFileSource, type ReloadReport, type RouteSource } from './file-source.ts'
import type { Routes } from './table.ts'

/** @throws {InputError} when a routes file is missing or broken at start. */
export async function openRoutes(
  config: Pick<Config, 'routes' | 'aws' | 'srs' | 'hostname' | 'postmaster'>,
  metrics: Pick<Metrics, 'routesReloads'>,
  log: Log,
): Promise<RouteSource> {
  const { routes, aws } = config
  const check = (place: string, table: Routes) => checkRoutes(place, table, config)
  const onReload = ({ result, ...about }: ReloadReport) => {
    metrics.routesReloads.inc({ result })
    log(`routes-${result}`, about)
  }
  if (routes.kind === 'file') return openFileSource({ ...routes, check, onReload })
  const { openS3Source } = await import('./s3-source.ts')
  // No retry: the next poll asks again.
  return openS3Source({ ...routes, client: await s3Client(aws, { maxAttempts: 1 }), check, onReload })
}
