// Turns an error of an AWS call into log fields. Owns: the texts for missing or refused credentials and permissions,
// where the SDK's message does not say what to do. Pure; takes any error.
import { errorFields, type LogFields } from '../log.ts'

/** The services use different codes for a missing permission and for refused credentials. */
const DENIED = /^(AccessDenied(Exception)?|UnauthorizedOperation|AuthorizationError|Forbidden)$/
const NOT_ACCEPTED =
  /^(ExpiredToken(Exception)?|UnrecognizedClientException|InvalidClientTokenId|InvalidAccessKeyId|InvalidSignature(Exception)?|SignatureDoesNotMatch)$/

/** The log fields of an error from an AWS call, or of any other error. */
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
  // Some service errors have only a name; some socket errors have only a code.
  const said = message === '' || message === 'UnknownError' ? name : message
  const named = name === 'Error' ? {} : { code: name }
  return { ...named, ...errorFields(error), error: said }
}
