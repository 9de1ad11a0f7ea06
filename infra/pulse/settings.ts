// The pulse's settings: environment variables that the deployment sets on the Lambda function.
// Owns: their schema. Fails with an InputError that names every bad variable.
import * as v from 'valibot'
import { checkInput } from '../../input/problems.ts'
import { scalingPolicySchema } from '../scaling/policy.ts'

const text = v.pipe(v.string(), v.nonEmpty('a value'))
const url = v.pipe(v.string(), v.url('a URL'))

const settingsSchema = v.object({
  /** The fleet's name: the dimension of all metrics. */
  FLEET: text,
  /** Name of the Auto Scaling group. */
  GROUP: text,
  READY_URL: url,
  DEFERRED_URL: url,
  /** The DynamoDB table with the load reports. */
  TABLE: text,
  /** A scaling policy, as JSON. */
  POLICY: v.pipe(v.string(), v.parseJson(undefined, 'JSON'), scalingPolicySchema),
})

export type PulseSettings = v.InferOutput<typeof settingsSchema>

/** @throws InputError */
export function readPulseSettings(environment: Readonly<Record<string, string | undefined>>): PulseSettings {
  return checkInput("the queue pulse's environment", settingsSchema, environment)
}
