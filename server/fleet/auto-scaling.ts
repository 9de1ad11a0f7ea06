// What an instance says to its Auto Scaling group, and asks it. Owns: the calls, and which of their errors are answers.
// Everything else that goes wrong is an Error: the caller tries again.
// Source: Amazon EC2 Auto Scaling user guide, "Amazon EC2 Auto Scaling lifecycle hooks", and its API reference.
import { autoScalingClient, type AwsSettings } from '../aws/clients.ts'

/** Where the group has this instance, such as `Pending:Wait` or `InService`. */
export type Membership = { group: string; state: string }

export type AutoScaling = {
  /** null: in no group. */
  membership: () => Promise<Membership | null>
  /** Lets the group go on. False: there is nothing it waits for, not yet or no more. */
  complete: (hook: string) => Promise<boolean>
  /** Has the group wait on, by the hook's time-out from now. False: as for `complete`. */
  heartbeat: (hook: string) => Promise<boolean>
}

/** @param instanceId of this instance. */
export async function connectAutoScaling(aws: AwsSettings, instanceId: string): Promise<AutoScaling> {
  const sdk = await import('@aws-sdk/client-auto-scaling')
  const client = await autoScalingClient(aws)

  async function membership(): Promise<Membership | null> {
    const command = new sdk.DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] })
    const [found] = (await client.send(command)).AutoScalingInstances ?? []
    if (found === undefined) return null
    return { group: found.AutoScalingGroupName ?? '', state: found.LifecycleState ?? '' }
  }

  /** Instances stay in their group, but may be attached to one while they run. */
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

/** "No active Lifecycle Action found with instance ID …", which has no code of its own. */
function isInactive(error: unknown): boolean {
  return (
    error instanceof Error &&
    error.name === 'ValidationError' &&
    /no active lifecycle action/i.test(error.message)
  )
}
