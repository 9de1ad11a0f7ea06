// The settings of SRS: the schema of the configuration's key `srs`. Pure.
// Owns: how long a secret must be, and where it may come from.
import * as v from 'valibot'
import { DAY_MS, fullHostName, milliseconds, ssmParameter } from './values.ts'

/** 128 bits even when the secret is written in hexadecimal. */
const SECRET_CHARS = 32

const secret = v.pipe(
  v.string(),
  v.minLength(SECRET_CHARS, `a secret of at least ${SECRET_CHARS} characters`),
  v.maxLength(512, 'a secret of at most 512 characters'),
)

const someSecrets = v.pipe(v.array(secret), v.maxLength(10, 'at most 10 secrets'))

/** The first signs, all verify. */
export const SrsSecrets = v.pipe(someSecrets, v.minLength(1, 'at least one secret'))

/** The domain of rewritten reverse paths, and what signs them. */
export const SrsSettings = v.pipe(
  v.strictObject({
    domain: fullHostName,
    /** The organisational domain that `domain` shares with domains of ours, named by someone who knows the risk. */
    acknowledgeAligned: v.optional(fullHostName),
    secrets: v.optional(someSecrets),
    /** SSM parameter (SecureString) with the secrets, one a line. */
    secretsParameter: v.optional(ssmParameter),
    /** How often the parameter is read again. Default a minute. */
    secretsPollMs: v.optional(milliseconds(50, DAY_MS)),
  }),
  // Told of 'secrets', whose value no error message repeats.
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
