// Runs the whole Pulumi program under Pulumi's mocks and records its resources and inputs.
// One run at a time in a process, against ../aws/fake-aws.ts. A run throws what the program throws.
import assert from 'node:assert/strict'
import * as pulumi from '@pulumi/pulumi'
import main from '../../../infra/main.ts'
import { answer, created, fakeAccount, type Account } from '../aws/fake-aws.ts'
import { exampleConfig, type StackName } from './example-stack.ts'

/** A resource's inputs. Tests name what they expect. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type ResourceInputs = Record<string, any>

export type StackResource = { type: string; name: string; inputs: ResourceInputs }

export type StackRun = {
  resources: StackResource[]
  outputs: Record<string, unknown>
  /** All resources of a type, such as `sqs/queue:Queue`. */
  all: (type: string) => StackResource[]
  /** Inputs of the one resource of that type, or of that type and name. */
  one: (type: string, name?: string) => ResourceInputs
}

export type StackRunOptions = {
  /** Changes of the example's configuration; undefined removes a key. */
  config?: Record<string, unknown>
  account?: Account
  /** Receives the resources, also of a run that throws. */
  seen?: StackResource[]
}

export async function runMockedStack(
  stack: StackName,
  { config = {}, account = fakeAccount(), seen: resources = [] }: StackRunOptions = {},
): Promise<StackRun> {
  await pulumi.runtime.setMocks(
    {
      call: ({ token, inputs }) => answer(account, token, inputs as ResourceInputs),
      newResource: ({ type, name, inputs }) => {
        resources.push({ type, name, inputs: inputs as ResourceInputs })
        return created(type, name, inputs as ResourceInputs)
      },
    },
    'mailfleet',
    stack,
    false,
  )
  pulumi.runtime.setAllConfig(exampleConfig(stack, config))
  const promised = await main()
  const outputs = await settled(pulumi.output(promised))
  // Waits for every registration.
  await pulumi.runtime.disconnect()
  const all = (type: string) => resources.filter((resource) => resource.type === `aws:${type}`)
  const one = (type: string, name?: string) => {
    const found = all(type).filter((resource) => name === undefined || resource.name === name)
    assert.equal(
      found.length,
      1,
      `${type} ${name ?? ''}: ${found.map((resource) => resource.name).join(', ')}`,
    )
    return found[0]!.inputs
  }
  return { resources, outputs, all, one }
}

/** The value of an output. */
function settled<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => output.apply((value) => resolve(value)))
}

/** Runs a program that must stop before it registers a resource. @returns its error message */
export async function previewError(stack: StackName, options: StackRunOptions): Promise<string> {
  const seen: StackResource[] = []
  try {
    await runMockedStack(stack, { ...options, seen })
  } catch (error) {
    assert.ok(
      pulumi.RunError.isInstance(error),
      `not a RunError, so Pulumi prints its stack: ${String(error)}`,
    )
    assert.deepEqual(seen, [])
    return error.message
  }
  return assert.fail('the program accepted it')
}
