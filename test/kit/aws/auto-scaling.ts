// A stand-in for EC2 Auto Scaling as one of its instances meets it: DescribeAutoScalingInstances, CompleteLifecycleAction
// and RecordLifecycleActionHeartbeat, in the query protocol. Owns: where the instance stands, which lifecycle action is
// active, and checking what it is sent: a wrong group, hook, instance or result is an error, as from the real one.
// A termination runs as on AWS: first the load balancer deregisters the instance, then the terminate hook begins.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listening } from './listening.ts'
import { LAUNCH_HOOK, TERMINATE_HOOK } from '../../../contract/lifecycle-hooks.ts'

export type GroupState = {
  group: string
  instanceId: string
  /** Such as `Pending`, `Pending:Wait`, `InService`, `Terminating:Wait`; null: the instance is in no group. */
  state: string | null
  launchHook: string
  terminateHook: string
  trouble: 'throttled' | 'denied' | 'down' | null
  /** How many seconds of the group's own clock pass in one second. */
  clockSpeed: number
}

/** How long deregistration from a Network Load Balancer may take, on the group's clock. */
const DEREGISTRATION_MS = 300_000

/** The terminate hook's own timeout, on the group's clock. */
const HOOK_MS = 420_000

export type AutoScalingFake = Awaited<ReturnType<typeof startAutoScaling>>

type Answer = { result: string } | { code: string; message: string; status: number }

const problem = (code: string, message: string, status = 400): Answer => ({ code, message, status })

/** Starts it on a free port of 127.0.0.1, with the instance waiting for its launch hook. */
export async function startAutoScaling(initial: Partial<GroupState> = {}) {
  const state: GroupState = {
    group: 'mailfleet-test',
    instanceId: 'i-0123456789abcdef0',
    state: 'Pending:Wait',
    launchHook: LAUNCH_HOOK,
    terminateHook: TERMINATE_HOOK,
    trouble: null,
    clockSpeed: 50,
    ...initial,
  }
  /** Every call so far: its action, the hook if there is one, and whether it was an error. */
  const calls: string[] = []

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const sent = new URLSearchParams(body)
    const answered = state.trouble === null ? act(sent, state) : inTrouble(state.trouble)
    const note = 'code' in answered ? ` ${answered.code}` : ''
    calls.push(`${[sent.get('Action'), sent.get('LifecycleHookName')].filter(Boolean).join(' ')}${note}`)
    if (state.trouble === 'down') request.socket.destroy()
    else send(response, sent.get('Action') ?? '', answered)
  }

  const { url, close } = await listening((request, response) => void answer(request, response))
  return {
    url,
    state,
    calls,
    /** Begins to terminate the instance. The hook begins when deregistration has ended. */
    terminate: () => {
      state.state = 'Terminating'
      setTimeout(() => beginHook(state), DEREGISTRATION_MS / state.clockSpeed).unref()
    },
    close,
  }
}

/** The group waits; an instance that never completes its action ends as the hook's result says. */
function beginHook(state: GroupState): void {
  state.state = 'Terminating:Wait'
  setTimeout(() => {
    if (state.state === 'Terminating:Wait') state.state = 'Terminated'
  }, HOOK_MS / state.clockSpeed).unref()
}

function inTrouble(trouble: NonNullable<GroupState['trouble']>): Answer {
  if (trouble === 'throttled') return problem('Throttling', 'Rate exceeded')
  if (trouble === 'denied') return problem('AccessDenied', 'User is not authorized to perform this', 403)
  return problem('Down', 'the connection is dropped')
}

function act(sent: URLSearchParams, state: GroupState): Answer {
  if (sent.get('Version') !== '2011-01-01') return problem('InvalidAction', 'wrong version')
  switch (sent.get('Action')) {
    case 'DescribeAutoScalingInstances':
      return describe(sent, state)
    case 'CompleteLifecycleAction': {
      const result = sent.get('LifecycleActionResult')
      if (result !== 'CONTINUE') return problem('ValidationError', `not the result expected: ${result}`)
      const active = activeAction(sent, state)
      if ('code' in active) return active
      state.state = state.state === 'Terminating:Wait' ? 'Terminating:Proceed' : 'InService'
      return active
    }
    case 'RecordLifecycleActionHeartbeat':
      return activeAction(sent, state)
    case null:
    default:
      return problem('InvalidAction', `no such action: ${sent.get('Action')}`)
  }
}

function describe(sent: URLSearchParams, { state, group, instanceId }: GroupState): Answer {
  if (sent.get('InstanceIds.member.1') !== instanceId || state === null) return { result: instancesXml('') }
  const member = `<member><InstanceId>${instanceId}</InstanceId><AutoScalingGroupName>${group}</AutoScalingGroupName>
    <LifecycleState>${state}</LifecycleState><HealthStatus>HEALTHY</HealthStatus>
    <AvailabilityZone>eu-west-1a</AvailabilityZone><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>`
  return { result: instancesXml(member) }
}

const instancesXml = (members: string) => `<AutoScalingInstances>${members}</AutoScalingInstances>`

/** The action that the call is about, if the group waits for it. */
function activeAction(sent: URLSearchParams, state: GroupState): Answer {
  const instance = sent.get('InstanceId')
  if (sent.get('AutoScalingGroupName') !== state.group)
    return problem('ValidationError', 'AutoScalingGroup name not found - null')
  const hook = sent.get('LifecycleHookName')
  const awaited =
    state.state === 'Pending:Wait' || state.state === 'Warmed:Pending:Wait'
      ? state.launchHook
      : state.state === 'Terminating:Wait'
        ? state.terminateHook
        : null
  if (hook !== state.launchHook && hook !== state.terminateHook)
    return problem('ValidationError', `LifecycleHook not found with name: ${hook}`)
  if (hook !== awaited || instance !== state.instanceId)
    return problem('ValidationError', `No active Lifecycle Action found with instance ID ${instance}`)
  return { result: '' }
}

function send(response: ServerResponse, action: string, answer: Answer): void {
  const metadata = '<ResponseMetadata><RequestId>test</RequestId></ResponseMetadata>'
  const xmlns = 'xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"'
  if ('code' in answer) {
    response.writeHead(answer.status, { 'content-type': 'text/xml' })
    const error = `<Type>Sender</Type><Code>${answer.code}</Code><Message>${answer.message}</Message>`
    response.end(`<ErrorResponse ${xmlns}><Error>${error}</Error><RequestId>test</RequestId></ErrorResponse>`)
    return
  }
  response.writeHead(200, { 'content-type': 'text/xml' })
  const result = `<${action}Result>${answer.result}</${action}Result>`
  response.end(`<${action}Response ${xmlns}>${result}${metadata}</${action}Response>`)
}
