// The schema of the configuration's key `srs`. Owns: the length of a secret and where secrets come from. Pure.
import * as v from 'valibot'
import { DAY_MS, fullHostName, milliseconds, ssmParameter } from './values.ts'

/** Even in hexadecimal, 32 characters hold 128 bits. */
const SECRET_CHARS = 32

const secret = v.pipe(
  v.string(),
  v.minLength(SECRET_CHARS, `a secret of at least ${SECRET_CHARS} characters`),
  v.maxLength(512, 'a secret of at most 512 characters'),
)

const someSecrets = v.pipe(v.array(secret), v.maxLength(10, 'at most 10 secrets'))

/** The first secret signs; all secrets verify. */
export const srsSecretsSchema = v.pipe(someSecrets, v.minLength(1, 'at least one secret'))

/** The domain of rewritten reverse paths, and the secrets that sign them. */
export const srsSchema = v.pipe(
  v.strictObject({
    domain: fullHostName,
    acknowledgeAligned: v.optional(fullHostName),
    secrets: v.optional(someSecrets),
    secretsParameter: v.optional(ssmParameter),
    secretsPollMs: v.optional(milliseconds(50, DAY_MS)),
  }),
  // Reported under `secrets`: error messages never print its value.
  v.forward(
    v.partialCheck(
      [['secrets'], ['secretsParameter']],
      ({ secrets = [], secretsParameter }) => secrets.length > 0 === (secretsParameter === undefined),
      'at least one secret, or else a secretsParameter',
    ),
    ['secrets'],
  ),
  v.forward(
    v.partialCheck(
      [['secretsParameter'], ['secretsPollMs']],
      ({ secretsParameter, secretsPollMs }) => secretsPollMs === undefined || secretsParameter !== undefined,
      'a secretsParameter beside it',
    ),
    ['secretsPollMs'],
  ),
  v.transform(({ secrets = [], ...srs }) => ({ ...srs, secrets })),
)
