// A stack's configuration, set by `pulumi config set mailfleet:…` and stored in Pulumi.<stack>.yaml.
// Owns: the keys, their defaults and bounds. Fails with StackConfigError, which names all problems, each with the command
// that corrects it. Makes no AWS call.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import * as v from 'valibot'
import { alignmentProblem } from '../input/aligned-domains.ts'
import { checkInput, InputError, parseInput, type Problem } from '../input/problems.ts'
import { scalingPolicySchema } from './scaling/policy.ts'
import { srsSecretsParameter } from '../contract/ssm-parameters.ts'

const PROJECT = 'mailfleet'

const count = (least: number, most: number) => {
  const expected = `a whole number, ${least} to ${most}`
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(least, expected),
    v.maxValue(most, expected),
  )
}

const text = (expected: string, form: RegExp) => v.pipe(v.string(expected), v.regex(form, expected))
const flag = v.boolean('true or false')

const LABEL = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const fullName = (example: string) =>
  v.pipe(
    text(`a full host name such as ${example}`, new RegExp(`^(${LABEL}\\.)+${LABEL}$`)),
    v.maxLength(253, 'at most 253 characters'),
    v.toLowerCase(),
  )
/** Length and characters of a hierarchical parameter, as in the reference of PutParameter. */
const parameter = text('the name of an SSM parameter such as /mailfleet/prod/secret', /^(\/[\w.-]+){1,15}$/)

/** Pulumi passes digits as a number, unless they begin with a zero. */
const accountId = v.pipe(
  v.union([v.string(), v.number()], 'an account id of 12 digits'),
  v.transform(String),
  v.regex(/^\d{12}$/, 'an account id of 12 digits'),
)

const schema = v.pipe(
  v.strictObject({
    /** The servers' own name. The domains' MX records point to it. */
    hostname: fullName('mx.example.net'),
    /** Receives mail for postmaster@ and abuse@ of `hostname`, `srsDomain` and every routed domain. */
    postmaster: v.pipe(v.string('an e-mail address'), v.email('an e-mail address')),
    /** Domain of rewritten senders. Its MX record points to this fleet too. */
    srsDomain: fullName('srs.example.com'),
    /** The organisational domain that `srsDomain` shares with `hostname` or a routed domain: see docs/aws.md. */
    srsAcknowledgeAligned: v.optional(fullName('example.com')),
    /** SecureString with one secret per line; the first one signs. Default: /mailfleet/<stack>/srs-secrets. */
    srsSecretsParameter: v.optional(parameter),
    /** Path relative to Pulumi.yaml. */
    routesFile: v.pipe(v.string('the path of a routes file'), v.nonEmpty('the path of a routes file')),
    /** The channel whose image to run. Default: the stack's name. */
    imageChannel: v.optional(text('a channel such as prod', /^[a-z0-9][a-z0-9-]{0,31}$/)),
    /** An image to run instead of the channel's. */
    imageId: v.optional(text('an AMI id such as ami-0123456789abcdef0', /^ami-([0-9a-f]{8}|[0-9a-f]{17})$/)),
    /** The account that shares the image. Default: this account. */
    imageOwner: v.optional(accountId),
    /** In order of preference. They need the image's architecture, UEFI, and a TPM if it requires one. */
    instanceTypes: v.optional(
      v.pipe(
        v.array(
          text('an instance type such as c7i.large', /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/),
          'a list of instance types',
        ),
        v.minLength(1, 'at least one instance type'),
        v.maxLength(40, 'at most 40 instance types'),
      ),
      ['c7i.large', 'c6i.large'],
    ),
    /** Use spot capacity above minInstances. */
    spot: v.optional(flag, false),
    // Each subnet takes a sixteenth of it: 251 addresses of a /20.
    vpcCidr: v.optional(
      v.pipe(v.string(), v.check(isPrivateBlock, 'a private IPv4 block of /16 to /20 such as 10.20.0.0/16')),
      '10.20.0.0/16',
    ),
    availabilityZones: v.optional(count(1, 6), 2),
    /** One NAT gateway per zone, so that a failed zone does not cut off the others. */
    natPerZone: v.optional(flag, false),
    /** Reach SQS by an interface endpoint. Cheaper than NAT from about 3 million messages of 75 KB per month. */
    sqsEndpoint: v.optional(flag, false),
    /** Receives every alarm, once its owner has confirmed the subscription that AWS mails. */
    alarmEmail: v.optional(v.pipe(v.string(), v.email('an e-mail address'))),
    tlsKeyParameter: v.optional(parameter),
    tlsCertParameter: v.optional(parameter),
    /** How long a draining instance may finish its work. At most an hour, as in a Network Load Balancer. */
    drainMs: v.optional(count(1_000, 3_600_000), 300_000),
    /** Number of entries from which instances refuse mail. SQS has its own limit of 120,000 leased entries. */
    maxEntries: v.optional(count(1, 100_000_000), 1_000_000),
    /**
     * Reserves Lambda concurrency for the queue pulse. A new account often has 10 in all and cannot: 100 must stay
     * unreserved.
     */
    reservePulse: v.optional(flag, false),
    /** Pulumi refuses to delete resources that carry mail: all but alarms, queue pulse and scaling policies. */
    protect: v.optional(flag, false),
    /** The same keys as in the `policy` of a fleet on one machine. */
    policy: v.optional(scalingPolicySchema, {}),
  }),
  v.forward(
    v.partialCheck(
      [['imageId'], ['imageChannel']],
      ({ imageId, imageChannel }) => imageId === undefined || imageChannel === undefined,
      'either imageId or imageChannel, not both',
    ),
    ['imageId'],
  ),
  v.forward(
    v.partialCheck(
      [['tlsKeyParameter'], ['tlsCertParameter']],
      (tls) => (tls.tlsKeyParameter === undefined) === (tls.tlsCertParameter === undefined),
      'tlsKeyParameter and tlsCertParameter together, or neither',
    ),
    ['tlsCertParameter'],
  ),
)

/**
 * A load balancer's name has at most 32 characters, and `mailfleet-` and Pulumi's suffix take 18 of them. Image channel
 * and parameter names contain the stack's name too.
 */
const STACK_NAME = /^[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?$/

type Checked = v.InferOutput<typeof schema>

/** A checked configuration with all defaults. */
export type StackConfig = Omit<Checked, 'srsSecretsParameter' | 'routesFile'> & {
  /** Name of the group, and value of each metric's `Fleet` dimension. */
  fleetName: string
  srsSecretsParameter: string
  /** Absolute path. */
  routesFile: string
}

/** A bad stack configuration. `problems` has the order of the message. */
export class StackConfigError extends Error {
  readonly problems: readonly Problem[]

  constructor(stack: string, problems: readonly Problem[]) {
    const lines = problems.map(
      (problem) => `${problem.key}: ${sentence(problem)}\n    ${correction(problem, stack)}`,
    )
    super(
      `Pulumi.${stack}.yaml: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n  ${lines.join('\n  ')}`,
    )
    this.name = 'StackConfigError'
    this.problems = problems
  }
}

/** The key of problems with the stack's name. */
const STACK_KEY = 'stack'

const sentence = ({ found, expected }: Problem) => `expected ${expected}, found ${found}`

/** A valid value for each key, for the command that corrects it. */
const EXAMPLES: Record<string, string> = {
  hostname: 'mx.example.net',
  postmaster: 'postmaster@example.com',
  srsDomain: 'srs.example.com',
  srsAcknowledgeAligned: 'example.com',
  srsSecretsParameter: '/mailfleet/prod/srs-secrets',
  routesFile: 'routes.yaml',
  imageChannel: 'prod',
  imageId: 'ami-0123456789abcdef0',
  imageOwner: '123456789012',
  instanceTypes: `'["c7i.large"]'`,
  'instanceTypes[]': 'c7i.large',
  spot: 'false',
  vpcCidr: '10.20.0.0/16',
  availabilityZones: '2',
  natPerZone: 'false',
  sqsEndpoint: 'false',
  alarmEmail: 'postmaster@example.net',
  tlsKeyParameter: '/mailfleet/prod/tls-key',
  tlsCertParameter: '/mailfleet/prod/tls-cert',
  drainMs: '300000',
  maxEntries: '1000000',
  reservePulse: 'false',
  protect: 'false',
  policy: `'{"minInstances":2}'`,
  'policy.minInstances': '2',
  'policy.maxInstances': '20',
}

/** Keys whose values Pulumi's command line mistakes for secrets and refuses without --plaintext. */
const PLAIN_TEXT = ['srsSecretsParameter', 'tlsKeyParameter', 'tlsCertParameter']

/** The command that corrects a problem: it removes a wrong key, or sets a valid value. */
function correction({ key, found, expected }: Problem, stack: string): string {
  if (key === STACK_KEY) return `pulumi stack rename NAME --stack ${stack}`
  const path = key.replace(/\.(\d+)(?=\.|$)/g, '[$1]')
  const spelled = `--stack ${stack}${/[.[]/.test(path) ? ' --path' : ''} '${PROJECT}:${path}'`
  if (found === 'this key' || expected.includes('not both')) return `pulumi config rm ${spelled}`
  const plain = PLAIN_TEXT.includes(key) ? '--plaintext ' : ''
  return `pulumi config set ${plain}${spelled} ${EXAMPLES[path.replace(/\[\d+\]/, '[]')] ?? 'VALUE'}`
}

/**
 * Reads a stack's configuration.
 * @param all the project's configuration as Pulumi passes it: `mailfleet:key` to text, with structures as JSON. Other
 *   namespaces belong to providers.
 * @param root the folder of Pulumi.yaml, which `routesFile` is relative to
 * @throws {StackConfigError} that names all bad keys, and a routes file that cannot be read
 */
export function readStackConfig(all: Record<string, string>, stack: string, root: string): StackConfig {
  const prefix = `${PROJECT}:`
  const entries = Object.entries(all)
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [key.slice(prefix.length), parsed(value)] as const)
  const given = Object.fromEntries(entries)
  const routes = readRoutedDomains(given['routesFile'], root)
  const problems = [...stackProblems(stack), ...routes.problems]
  try {
    const config = checkInput(`Pulumi.${stack}.yaml`, schema, given)
    problems.push(...alignmentProblems(config, routes.domains))
    if (problems.length === 0) return completed(config, stack, root)
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    problems.unshift(...error.problems)
  }
  throw new StackConfigError(stack, problems)
}

function completed(config: Checked, stack: string, root: string): StackConfig {
  return {
    ...config,
    fleetName: `${PROJECT}-${stack}`,
    srsSecretsParameter: config.srsSecretsParameter ?? srsSecretsParameter(stack),
    routesFile: resolve(root, config.routesFile),
  }
}

/**
 * Parses numbers, booleans and structures; any other text stays text. `pulumi config set --path` writes only integers
 * as numbers: 0.5 is a text inside its structure.
 */
function parsed(value: string): unknown {
  if (!/^(-?\d|true$|false$|[[{])/.test(value)) return value
  const numeric = (_: string, item: unknown) =>
    typeof item === 'string' && /^\d+\.\d+$/.test(item) ? Number(item) : item
  try {
    return JSON.parse(value, numeric) as unknown
  } catch {
    return value
  }
}

function stackProblems(stack: string): Problem[] {
  if (STACK_NAME.test(stack)) return []
  const expected = 'a name of at most 14 characters: a to z, 0 to 9, and hyphens inside'
  return [{ key: STACK_KEY, found: JSON.stringify(stack), expected }]
}

/** Checks that `srsDomain` gives no domain of the stack an SPF pass: see docs/aws.md. */
function alignmentProblems({ srsDomain, srsAcknowledgeAligned, hostname }: Checked, domains: string[]) {
  const problem = alignmentProblem(
    { domain: srsDomain, acknowledged: srsAcknowledgeAligned },
    [hostname, ...domains],
    { domain: 'srsDomain', acknowledged: 'srsAcknowledgeAligned' },
  )
  return problem === null ? [] : [problem]
}

/** The domains of the routes file. The server checks the rest of the file when it loads it. */
function readRoutedDomains(file: unknown, root: string): { domains: string[]; problems: Problem[] } {
  if (typeof file !== 'string' || file === '') return { domains: [], problems: [] }
  try {
    const routes = parseInput(file, readFileSync(resolve(root, file), 'utf8')) as { domains?: object } | null
    return { domains: Object.keys(routes?.domains ?? {}), problems: [] }
  } catch (error) {
    const found =
      error instanceof InputError
        ? error.problems.map((problem) => `${problem.key} ${problem.found}`).join('; ')
        : `${file} (${(error as NodeJS.ErrnoException).code ?? String(error)})`
    const problem = { key: 'routesFile', found, expected: 'a readable file of routes in YAML' }
    return { domains: [], problems: [problem] }
  }
}

/** Within 10/8, 172.16/12 or 192.168/16 (RFC 1918); /16 to /20, without bits after the prefix. */
function isPrivateBlock(block: string): boolean {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(16|17|18|19|20)$/.exec(block)
  if (match === null) return false
  const [a = 0, b = 0, c = 0, d = 0, prefix = 0] = match.slice(1).map(Number)
  if ([a, b, c, d].some((part) => part > 255)) return false
  const isPrivate = a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)
  return isPrivate && ((c << 8) | d) % 2 ** (32 - prefix) === 0
}
