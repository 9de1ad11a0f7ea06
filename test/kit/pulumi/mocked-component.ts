// Creates one component under Pulumi's mocks and records its resources. One run at a time in a process. A run throws
// what the component throws.
import assert from 'node:assert/strict'
import * as pulumi from '@pulumi/pulumi'
import * as v from 'valibot'
import type { ResourceInputs } from './mocked-stack.ts'
import { scalingPolicySchema, type ScalingPolicy } from '../../../infra/scaling/policy.ts'

export type RegisteredComponent = Awaited<ReturnType<typeof registerComponent>>

/** @param construct creates the component */
export async function registerComponent(construct: () => void) {
  const resources: { type: string; name: string; inputs: ResourceInputs }[] = []
  await pulumi.runtime.setMocks({
    call: () => ({}),
    newResource: ({ type, name, inputs }) => {
      resources.push({ type, name, inputs: inputs as ResourceInputs })
      return {
        id: `${name}-id`,
        state: { ...(inputs as ResourceInputs), name: `${name}-1234567`, arn: arnOf(type, name) },
      }
    },
  })
  try {
    construct()
  } finally {
    // Waits for every registration.
    await pulumi.runtime.disconnect()
  }
  const all = (type: string) => resources.filter((resource) => resource.type === `aws:${type}`)
  /** Inputs of the one resource of that type and name. */
  const one = (type: string, name: string): ResourceInputs => {
    const found = all(type).filter((resource) => resource.name === name)
    assert.equal(
      found.length,
      1,
      `${type} ${name}: ${all(type)
        .map((each) => each.name)
        .join(', ')}`,
    )
    return found[0]!.inputs
  }
  return { resources, all, one }
}

export function arnOf(type: string, name: string): string {
  return `arn:aws:${type.split(':')[1]?.split('/')[0] ?? ''}:eu-west-1:123456789012:${name}`
}

/** By default 100 messages per instance, and 2 to 20 instances. */
export function policyOf(changes: v.InferInput<typeof scalingPolicySchema> = {}): ScalingPolicy {
  return v.parse(scalingPolicySchema, { minInstances: 2, maxInstances: 20, ...changes })
}

/**
 * Checks CloudWatch's rules (PutMetricAlarm). A period is 10, 20 or 30 s or whole minutes. The look-back is a day at most.
 * A period below a minute needs data points of that resolution.
 */
export function assertAlarmsPossible(alarms: RegisteredComponent['resources']): void {
  assert.ok(alarms.length > 0)
  for (const { name, inputs } of alarms) {
    const queries = (inputs['metricQueries'] ?? []) as { metric?: ResourceInputs }[]
    const metrics = queries.flatMap(({ metric }) => (metric === undefined ? [] : [metric]))
    for (const { period, namespace } of metrics.length > 0 ? metrics : [inputs]) {
      assert.ok(
        [10, 20, 30].includes(period as number) || period % 60 === 0,
        `${name}: a period of ${period} s`,
      )
      assert.ok(period * inputs['evaluationPeriods'] <= 86_400, `${name} looks back longer than a day`)
      if (period < 60) assert.equal(namespace, 'Mailfleet', `${name}: ${namespace} has minutes only`)
    }
    assert.ok(['breaching', 'notBreaching'].includes(inputs['treatMissingData'] as string), name)
    assert.ok((inputs['alarmDescription'] as string).length > 0, name)
  }
}
