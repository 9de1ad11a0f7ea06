// What a person tells one stack: `pulumi config set mailfleet:…`, kept in Pulumi.<stack>.yaml.
// Owns: the keys, their defaults and bounds. Fails with StackConfigError: all problems at once, each with the command
// that mends it. Asks nothing of AWS.
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
/** A parameter of SSM's hierarchy; its length and characters as in PutParameter's reference. */
const parameter = text('the name of an SSM parameter such as /mailfleet/prod/secret', /^(\/[\w.-]+){1,15}$/)

/** Digits come as a number, except those with a zero in front. */
const accountId = v.pipe(
  v.union([v.string(), v.number()], 'an account id of 12 digits'),
  v.transform(String),
  v.regex(/^\d{12}$/, 'an account id of 12 digits'),
)

const schema = v.pipe(
  v.strictObject({
    /** What the servers call themselves, and the name that the domains' MX records point to. */
    hostname: fullName('mx.example.net'),
    /** Gets mail for postmaster@ and abuse@ of `hostname`, `srsDomain` and every routed domain. */
    postmaster: v.pipe(v.string('an e-mail address'), v.email('an e-mail address')),
    /** Domain of rewritten senders; its MX points to this fleet as well. */
    srsDomain: fullName('srs.example.com'),
    /** The organisational domain that `srsDomain` shares with `hostname` or a routed domain: see docs/aws.md. */
    srsAcknowledgeAligned: v.optional(fullName('example.com')),
    /** SecureString with one secret a line, of which the first signs. Default: /mailfleet/<stack>/srs-secrets. */
    srsSecretsParameter: v.optional(parameter),
    /** Relative to Pulumi.yaml. */
    routesFile: v.pipe(v.string('the path of a routes file'), v.nonEmpty('the path of a routes file')),
    /** Which promoted image to run. Default: the channel that is called like the stack. */
    imageChannel: v.optional(text('a channel such as prod', /^[a-z0-9][a-z0-9-]{0,31}$/)),
    /** One image instead of a channel's. */
    imageId: v.optional(text('an AMI id such as ami-0123456789abcdef0', /^ami-([0-9a-f]{8}|[0-9a-f]{17})$/)),
    /** The account that published the image and shares it. Default: this one. */
    imageOwner: v.optional(accountId),
    /** In order of preference. Of the image's architecture, with UEFI and a TPM: the preview asks EC2. */
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
    /** Spot capacity for what is above minInstances. */
    spot: v.optional(flag, false),
    // Subnets take a sixteenth of it each: of a /20 that is 251 addresses.
    vpcCidr: v.optional(
      v.pipe(v.string(), v.check(isPrivateBlock, 'a private IPv4 block of /16 to /20 such as 10.20.0.0/16')),
      '10.20.0.0/16',
    ),
    availabilityZones: v.optional(count(1, 6), 2),
    /** A NAT gateway in every zone: a zone that fails takes no other zone's way out with it. */
    natPerZone: v.optional(flag, false),
    /** SQS by an interface endpoint instead of by the NAT gateways: cheaper from about 3 million messages of 75 KB a month. */
    sqsEndpoint: v.optional(flag, false),
    /** Gets every alarm, once the subscription that AWS mails is confirmed. */
    alarmEmail: v.optional(v.pipe(v.string(), v.email('an e-mail address'))),
    tlsKeyParameter: v.optional(parameter),
    tlsCertParameter: v.optional(parameter),
    /** How long an instance that leaves may take to finish what it is doing. At most SSM's and the NLB's hour. */
    drainMs: v.optional(count(1_000, 3_600_000), 300_000),
    /** Entries from which on instances refuse mail; at 120,000 leased ones SQS has its own bound. */
    maxEntries: v.optional(count(1, 100_000_000), 1_000_000),
    /**
     * Keeps Lambda concurrency for the queue pulse. A new account cannot: 100 have to stay unreserved, and it often has
     * 10 in all.
     */
    reservePulse: v.optional(flag, false),
    /** Pulumi refuses to delete whatever carries mail: all but alarms, queue pulse and scaling policies. */
    protect: v.optional(flag, false),
    /** The same figures as an embedded fleet's `policy`. */
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
 * The stack's name is part of other names. A load balancer's has 32 characters at most, of which `mailfleet-` and
 * Pulumi's own end take 18; the image channel and the parameters' names are spelled with it too.
 */
const STACK_NAME = /^[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?$/

type Checked = v.InferOutput<typeof schema>

/** A checked configuration, every default filled in. */
export type StackConfig = Omit<Checked, 'srsSecretsParameter' | 'routesFile'> & {
  /** Of the group, and the value of every metric's `Fleet` dimension. */
  fleetName: string
  srsSecretsParameter: string
  /** Absolute. */
  routesFile: string
}

/** A stack's configuration that cannot be used. `problems` are in the order of the message. */
export class StackConfigError extends Error {
  readonly problems: readonly Problem[]

  constructor(stack: string, problems: readonly Problem[]) {
    const lines = problems.map(
      (problem) => `${problem.key}: ${sentence(problem)}\n    ${mend(problem, stack)}`,
    )
    super(
      `Pulumi.${stack}.yaml: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n  ${lines.join('\n  ')}`,
    )
    this.name = 'StackConfigError'
    this.problems = problems
  }
}

/** Stands for the stack's name among the keys. */
const STACK_KEY = 'stack'

const sentence = ({ found, expected }: Problem) => `expected ${expected}, found ${found}`

/** A value that would do, for keys whose defaults do not say it. */
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

/** Pulumi's command line takes names such as srs-secrets for secrets, and refuses them without a word on that. */
const PLAIN_TEXT = ['srsSecretsParameter', 'tlsKeyParameter', 'tlsCertParameter']

/** The command line that mends a problem: removes a key that should not be there, or sets one to what would do. */
function mend({ key, found, expected }: Problem, stack: string): string {
  if (key === STACK_KEY) return `pulumi stack rename NAME --stack ${stack}`
  const path = key.replace(/\.(\d+)(?=\.|$)/g, '[$1]')
  const spelled = `--stack ${stack}${/[.[]/.test(path) ? ' --path' : ''} '${PROJECT}:${path}'`
  if (found === 'this key' || expected.includes('not both')) return `pulumi config rm ${spelled}`
  const plain = PLAIN_TEXT.includes(key) ? '--plaintext ' : ''
  return `pulumi config set ${plain}${spelled} ${EXAMPLES[path.replace(/\[\d+\]/, '[]')] ?? 'VALUE'}`
}

/**
 * Reads a stack's configuration.
 * @param all the project's configuration as Pulumi gives it to a program: `mailfleet:key` to text, structures as JSON;
 *   other namespaces are the providers' business
 * @param root the folder of Pulumi.yaml, which `routesFile` is relative to
 * @throws {StackConfigError} naming every key that does not fit, and a routes file that is not one.
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
 * Numbers, booleans and structures from the text that Pulumi hands over; a text that is none of them stays one.
 * `pulumi config set --path` makes numbers of whole ones only: 0.5 comes as a text inside its structure.
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

/** That `srsDomain` lends its SPF to no domain of the stack: see docs/aws.md. */
function alignmentProblems({ srsDomain, srsAcknowledgeAligned, hostname }: Checked, domains: string[]) {
  const problem = alignmentProblem(
    { domain: srsDomain, acknowledged: srsAcknowledgeAligned },
    [hostname, ...domains],
    { domain: 'srsDomain', acknowledged: 'srsAcknowledgeAligned' },
  )
  return problem === null ? [] : [problem]
}

/** The domains of a file that is there and is YAML; what else it says, the server checks when it loads it. */
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

/** 10/8, 172.16/12 and 192.168/16 (RFC 1918), /16 to /20 as a VPC can be, with no bit set after the prefix. */
function isPrivateBlock(block: string): boolean {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(16|17|18|19|20)$/.exec(block)
  if (match === null) return false
  const [a = 0, b = 0, c = 0, d = 0, prefix = 0] = match.slice(1).map(Number)
  if ([a, b, c, d].some((part) => part > 255)) return false
  const isPrivate = a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)
  return isPrivate && ((c << 8) | d) % 2 ** (32 - prefix) === 0
}
