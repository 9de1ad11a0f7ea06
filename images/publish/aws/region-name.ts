// The format of AWS region names, and the check of AWS_REGION. Only AWS knows whether a region exists.
// Fails with InputError.
import { InputError } from '../../../input/problems.ts'

/** As in us-gov-west-1, eusc-de-east-1 and ap-southeast-2. */
const REGION = /^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$/

export const isRegionName = (text: string): boolean => REGION.test(text)

/** @throws {InputError} when AWS_REGION is set to something that is no region's name */
export function checkRegionOfEnvironment(env: NodeJS.ProcessEnv): void {
  const found = env['AWS_REGION'] ?? ''
  if (found === '' || isRegionName(found)) return
  const expected = 'a region such as eu-west-1'
  throw new InputError('the environment', [{ key: 'AWS_REGION', found, expected }])
}
