// The whole Pulumi program under Pulumi's mocks: which resources it registers, with which inputs.
// Owns: one run at a time in this process, against the account of made-up-aws.ts. What the program throws, the run throws.
import assert from 'node:assert/strict'
import * as pulumi from '@pulumi/pulumi'
import main from '../../../infra/main.ts'
import { answer, created, madeUpAccount, type Account } from '../aws/fake-aws.ts'
import { exampleConfig, type StackName } from './example-stack.ts'

/** Inputs are whatever a resource takes; tests name what they expect. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type ResourceInputs = Record<string, any>

export type StackResource = { type: string; name: string; inputs: ResourceInputs }

export type StackRun = {
  resources: StackResource[]
  outputs: Record<string, unknown>
  /** All of a type, such as `sqs/queue:Queue`. */
  all: (type: string) => StackResource[]
  /** Inputs of the only one of a type, or of the one of that type and name. */
  one: (type: string, name?: string) => ResourceInputs
}

export type StackRunOptions = {
  /** Laid over the example's configuration; undefined takes a key out. */
  config?: Record<string, unknown>
  account?: Account
  /** Gets every resource, also of a run that throws. */
  seen?: StackResource[]
}

export async function runStack(
  stack: StackName,
  { config = {}, account = madeUpAccount(), seen: resources = [] }: StackRunOptions = {},
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

/** What an output comes to. */
function settled<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => output.apply((value) => resolve(value)))
}

/** Runs what must stop the preview. @returns the sentence; asserts that nothing was registered before it. */
export async function previewError(stack: StackName, options: StackRunOptions): Promise<string> {
  const seen: StackResource[] = []
  try {
    await runStack(stack, { ...options, seen })
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
