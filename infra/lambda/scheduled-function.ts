// A Lambda function that EventBridge Scheduler invokes every minute, outside the fleet's network and group.
// Owns: code, role, log group and schedule. Nothing retries an invocation: the next one comes anyway, and a late one
// would work with old figures. Fails with the bundler's error when the code does not build.
import * as cloudwatch from '@pulumi/aws/cloudwatch/index.js'
import * as iam from '@pulumi/aws/iam/index.js'
import * as lambda from '@pulumi/aws/lambda/index.js'
import * as scheduler from '@pulumi/aws/scheduler/index.js'
import * as pulumi from '@pulumi/pulumi'
import { allow, policyDocument, trustPolicy, type PolicyStatement } from '../iam-policy.ts'
import { BUNDLE_FILE, BUNDLE_HANDLER } from './bundle.ts'

const LOG_DAYS = 14

const NO_RETRY = { maximumRetryAttempts: 0, maximumEventAgeInSeconds: 60 }

export type ScheduledFunctionArgs = {
  description: string
  scheduleDescription: string
  /** Path of the bundle: see {@link writeLambdaBundle}. */
  bundleFile: string
  /** Lambda gives CPU time in proportion to it. */
  memoryMB: number
  timeoutMs: number
  /** Concurrent invocations that the account keeps free for this function; −1 for none. */
  reservedConcurrency: number
  environment: Record<string, pulumi.Input<string>>
  /** What the function may do, besides writing its log. */
  statements: readonly PolicyStatement[]
  /** Only schedules of this account may invoke the function. */
  accountId: pulumi.Input<string>
}

/**
 * A component with one function: the next Lambda is a handler and a subclass. It is a base class, not a child
 * component, so that its resources keep the component's own URN as their parent.
 */
export abstract class ScheduledFunction extends pulumi.ComponentResource {
  readonly functionName: pulumi.Output<string>

  /** @param type Pulumi's type token of the component, such as mailfleet:aws:QueuePulse */
  constructor(
    type: string,
    name: string,
    args: ScheduledFunctionArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super(type, name, {}, opts)
    const made = this.#function(name, args)
    this.#schedule(name, made, args)
    this.functionName = made.name
  }

  #function(name: string, args: ScheduledFunctionArgs): lambda.Function {
    const logs = new cloudwatch.LogGroup(name, { retentionInDays: LOG_DAYS }, { parent: this })
    const writeLog = allow(['logs:CreateLogStream', 'logs:PutLogEvents'], pulumi.interpolate`${logs.arn}:*`)
    const role = new iam.Role(
      name,
      { assumeRolePolicy: trustPolicy('lambda.amazonaws.com') },
      { parent: this },
    )
    const permissions = new iam.RolePolicy(
      name,
      { role: role.name, policy: policyDocument([...args.statements, writeLog]) },
      { parent: this },
    )
    const made = new lambda.Function(
      name,
      {
        description: args.description,
        runtime: 'nodejs24.x',
        architectures: ['arm64'],
        handler: BUNDLE_HANDLER,
        code: new pulumi.asset.AssetArchive({ [BUNDLE_FILE]: new pulumi.asset.FileAsset(args.bundleFile) }),
        memorySize: args.memoryMB,
        timeout: args.timeoutMs / 1000,
        reservedConcurrentExecutions: args.reservedConcurrency,
        role: role.arn,
        loggingConfig: { logFormat: 'Text', logGroup: logs.name },
        environment: { variables: args.environment },
      },
      { parent: this, dependsOn: [permissions] },
    )
    // The schedule invokes asynchronously. By default Lambda queues and retries such events when they fail.
    new lambda.FunctionEventInvokeConfig(name, { functionName: made.name, ...NO_RETRY }, { parent: this })
    return made
  }

  #schedule(name: string, target: lambda.Function, args: ScheduledFunctionArgs): void {
    // Without this condition, a schedule of another account could use the role ("The confused deputy problem").
    const ownAccount = { StringEquals: { 'aws:SourceAccount': args.accountId } }
    const role = new iam.Role(
      `${name}-schedule`,
      { assumeRolePolicy: trustPolicy('scheduler.amazonaws.com', ownAccount) },
      { parent: this },
    )
    const permissions = new iam.RolePolicy(
      `${name}-schedule`,
      { role: role.name, policy: policyDocument([allow(['lambda:InvokeFunction'], target.arn)]) },
      { parent: this },
    )
    new scheduler.Schedule(
      name,
      {
        description: args.scheduleDescription,
        scheduleExpression: 'rate(1 minute)',
        flexibleTimeWindow: { mode: 'OFF' },
        target: { arn: target.arn, roleArn: role.arn, input: '{}', retryPolicy: NO_RETRY },
      },
      { parent: this, dependsOn: [permissions] },
    )
  }
}
