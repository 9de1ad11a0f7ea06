// A fake Auto Scaling group for tests: a fake metadata service and a fake group API. Makes the configuration that points
// a real server process at them. Owns: both fakes, closed when the test ends.
import type { TestContext } from 'node:test'
import { EMULATOR_ENV } from '../aws/aws-queue.ts'
import { startAutoScaling, type GroupState } from '../aws/auto-scaling.ts'
import { startMetadata, type MetadataState } from '../aws/metadata.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../../contract/lifecycle-hooks.ts'

/** Hides the AWS credentials of the machine that the test runs on. */
export const NO_AWS_CREDENTIALS = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_PROFILE: undefined,
  AWS_REGION: undefined,
  AWS_CONFIG_FILE: '/nonexistent',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
  CREDENTIALS_DIRECTORY: undefined,
}

/** Short poll intervals, for fast tests. */
export const FLEET_SETTINGS = {
  name: 'mailfleet-test',
  launchHook: LAUNCH_HOOK,
  terminateHook: TERMINATE_HOOK,
  pollMs: 50,
  heartbeatMs: 100,
  reportMs: 50,
}

export async function startFleetHarness(
  context: TestContext,
  { metadata = {}, group = {} }: { metadata?: Partial<MetadataState>; group?: Partial<GroupState> } = {},
) {
  const instance = await startMetadata({ target: 'InService', ...metadata })
  const autoScaling = await startAutoScaling(group)
  context.after(() => {
    instance.close()
    autoScaling.close()
  })
  return {
    metadata: instance,
    autoScaling,
    env: { ...NO_AWS_CREDENTIALS, ...EMULATOR_ENV, AWS_EC2_METADATA_SERVICE_ENDPOINT: instance.url },
    config: {
      fleet: FLEET_SETTINGS,
      aws: { endpoints: { autoscaling: autoScaling.url } },
      drain: { timeoutMs: 60_000 },
    },
  }
}
