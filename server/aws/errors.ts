// What an error of AWS means to whoever reads the log: one sentence. Owns: which errors are about credentials and
// permissions, where the SDK's own words do not say what to do. Pure; any error will do.
import { errorFields, type LogFields } from '../log.ts'

/** Error codes of the services, which have no common word for it. */
const DENIED = /^(AccessDenied(Exception)?|UnauthorizedOperation|AuthorizationError|Forbidden)$/
const NOT_ACCEPTED =
  /^(ExpiredToken(Exception)?|UnrecognizedClientException|InvalidClientTokenId|InvalidAccessKeyId|InvalidSignature(Exception)?|SignatureDoesNotMatch)$/

/** The log fields of an error that a call to AWS, or anything else, ended with. */
export function awsErrorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return errorFields(error)
  const { name, message } = error
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError') {
    return {
      error: 'no AWS credentials: the instance has no role, or its metadata does not answer',
      code: name,
    }
  }
  if (DENIED.test(name)) return { error: `the instance's role does not allow this: ${message}`, code: name }
  if (NOT_ACCEPTED.test(name)) return { error: `AWS does not accept the credentials: ${message}`, code: name }
  // Some errors of the services have a name only, some errors of sockets a code only.
  const said = message === '' || message === 'UnknownError' ? name : message
  const named = name === 'Error' ? {} : { code: name }
  return { ...named, ...errorFields(error), error: said }
}
