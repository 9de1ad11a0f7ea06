// The calls of an instance to its Auto Scaling group. Owns: which errors of these calls are answers. All other errors are
// thrown, and the caller retries.
// Source: Amazon EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling lifecycle hooks", and its API reference.
import { autoScalingClient, type AwsSettings } from '../aws/clients.ts'

/** The group's name and its state of this instance, such as `Pending:Wait` or `InService`. */
export type Membership = { group: string; state: string }

export type AutoScaling = {
  /** null: the instance is in no group. */
  membership: () => Promise<Membership | null>
  /** Completes the lifecycle action. False: the group waits for no action, not yet or no longer. */
  complete: (hook: string) => Promise<boolean>
  /** Restarts the hook's timeout. False: as for `complete`. */
  heartbeat: (hook: string) => Promise<boolean>
}

/** @param instanceId of this instance */
export async function connectAutoScaling(aws: AwsSettings, instanceId: string): Promise<AutoScaling> {
  const sdk = await import('@aws-sdk/client-auto-scaling')
  const client = await autoScalingClient(aws)

  async function membership(): Promise<Membership | null> {
    const command = new sdk.DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] })
    const [found] = (await client.send(command)).AutoScalingInstances ?? []
    if (found === undefined) return null
    return { group: found.AutoScalingGroupName ?? '', state: found.LifecycleState ?? '' }
  }

  /** An instance stays in its group, but can be attached to one while it runs. */
  let known: string | undefined
  const group = async () => (known ??= (await membership())?.group)

  async function unlessInactive(call: (about: Action) => Promise<unknown>, hook: string): Promise<boolean> {
    const AutoScalingGroupName = await group()
    if (AutoScalingGroupName === undefined) return false
    try {
      await call({ AutoScalingGroupName, LifecycleHookName: hook, InstanceId: instanceId })
      return true
    } catch (error) {
      if (isInactive(error)) return false
      throw error
    }
  }

  return {
    membership,
    complete: (hook) =>
      unlessInactive((about) => {
        const input = { ...about, LifecycleActionResult: 'CONTINUE' }
        return client.send(new sdk.CompleteLifecycleActionCommand(input))
      }, hook),
    heartbeat: (hook) =>
      unlessInactive((about) => client.send(new sdk.RecordLifecycleActionHeartbeatCommand(about)), hook),
  }
}

type Action = { AutoScalingGroupName: string; LifecycleHookName: string; InstanceId: string }

/** "No active Lifecycle Action found with instance ID …", an error without a code of its own. */
function isInactive(error: unknown): boolean {
  return (
    error instanceof Error &&
    error.name === 'ValidationError' &&
    /no active lifecycle action/i.test(error.message)
  )
}
