// What the pulse is told: the variables that the deployment puts into the function's environment.
// Owns: their schema. Fails with an InputError that names every variable at fault; the function then reports an error.
import * as v from 'valibot'
import { checkInput } from '../../input/problems.ts'
import { scalingPolicySchema } from '../scaling/policy.ts'

const text = v.pipe(v.string(), v.nonEmpty('a value'))
const url = v.pipe(v.string(), v.url('a URL'))

const settingsSchema = v.object({
  /** The fleet's name: the metrics' one dimension. */
  FLEET: text,
  /** Name of the Auto Scaling group. */
  GROUP: text,
  READY_URL: url,
  DEFERRED_URL: url,
  /** The DynamoDB table where instances report their load. */
  TABLE: text,
  /** A scaling policy, as JSON. */
  POLICY: v.pipe(v.string(), v.parseJson(undefined, 'JSON'), scalingPolicySchema),
})

export type PulseSettings = v.InferOutput<typeof settingsSchema>

/** @throws InputError */
export function readPulseSettings(environment: Readonly<Record<string, string | undefined>>): PulseSettings {
  return checkInput("the queue pulse's environment", settingsSchema, environment)
}
