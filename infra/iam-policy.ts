// IAM policy documents as JSON: statements that allow, and the trust policy of a role. Pure.
import * as pulumi from '@pulumi/pulumi'

export type PolicyStatement = {
  Sid?: string
  Effect: 'Allow'
  Action: string[]
  Resource: pulumi.Input<string>[]
  Condition?: Record<string, Record<string, string | string[]>>
}

const VERSION = '2012-10-17'

export function allow(actions: string[], ...resources: pulumi.Input<string>[]): PolicyStatement {
  return { Effect: 'Allow', Action: actions, Resource: resources }
}

export function policyDocument(statements: readonly PolicyStatement[]): pulumi.Output<string> {
  return pulumi.jsonStringify({ Version: VERSION, Statement: statements })
}

/** The trust policy of a role that one AWS service may assume, under a condition. */
export function trustPolicy(service: string, condition?: object): pulumi.Output<string> {
  const trust = { Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }
  const statement = condition === undefined ? trust : { ...trust, Condition: condition }
  return pulumi.jsonStringify({ Version: VERSION, Statement: [statement] })
}
