// The two queues of SQS. Owns: every call to it, and which of them may be repeated. A receive is not: what an answer
// that was lost had leased stays out of reach, and asking again would take more. The first send of a message is repeated
// only if it did not reach SQS: if its answer is lost, the sender of the mail is told 4xx and there must not be two already.
// Fails with the SDK's error. A receipt that has run out is no error but `false`.
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  type Message,
  type QueueAttributeName,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { sqsClient, type AwsSettings } from '../../aws/clients.ts'
import { inBatches } from './batch.ts'
import { sendFirst } from './first-send.ts'
import type { Parcel } from './message.ts'

/** What SQS gives out at once. */
export const RECEIVED_AT_ONCE = 10

/** What is received in vain comes back after 2, 4 … 512, 900 s: its 12 receives last for three quarters of an hour. */
export const retrySeconds = (receives: number) => Math.min(900, 2 ** receives)

/** Of one receive. `receives`: how often this message has been received, this time included. */
export type Received = { messageId: string; receipt: string; receives: number; parcel: Parcel }

/** A message to send with others. */
export type Outgoing = { parcel: Parcel; delaySeconds: number }

/** Approximate, and up to a minute late. */
export type Counts = { visible: number; notVisible: number; delayed: number }

const COUNTS: Record<keyof Counts, QueueAttributeName> = {
  visible: 'ApproximateNumberOfMessages',
  notVisible: 'ApproximateNumberOfMessagesNotVisible',
  delayed: 'ApproximateNumberOfMessagesDelayed',
}

export type Channel = Awaited<ReturnType<typeof openChannel>>

/** @param waitSeconds the longest poll that will be asked for */
export async function openChannel(aws: AwsSettings, waitSeconds: number) {
  const polling = await sqsClient(aws, { maxAttempts: 1, waitSeconds })
  const once = await sqsClient(aws, { maxAttempts: 1 })
  const insisting = await sqsClient(aws)

  return {
    ...batches(insisting),

    /** `repeat`: two of this message would do no harm. */
    send: async (url: string, parcel: Parcel, delaySeconds: number, { repeat }: { repeat: boolean }) => {
      const input = { QueueUrl: url, ...sendInputOf({ parcel, delaySeconds }) }
      if (repeat) await insisting.send(new SendMessageCommand(input))
      else await sendFirst(() => once.send(new SendMessageCommand(input)))
    },

    receive: async (
      url: string,
      max: number,
      holdSeconds: number,
      pollSeconds: number,
    ): Promise<Received[]> => {
      const command = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: Math.min(max, RECEIVED_AT_ONCE),
        VisibilityTimeout: holdSeconds,
        WaitTimeSeconds: pollSeconds,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['ApproximateReceiveCount'],
      })
      const { Messages = [] } = await polling.send(command)
      return Messages.map(received)
    },

    remove: (url: string, receipt: string): Promise<boolean> =>
      unlessRunOut(insisting.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: receipt }))),

    /** Keeps the message from others for `seconds` from now; 0 gives it back. */
    hold: (url: string, receipt: string, seconds: number): Promise<boolean> => {
      const held = { QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: seconds }
      return unlessRunOut(insisting.send(new ChangeMessageVisibilityCommand(held)))
    },

    counts: async (url: string): Promise<Counts> => {
      const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: Object.values(COUNTS) })
      const { Attributes = {} } = await insisting.send(command)
      const count = (name: keyof Counts) => Number(Attributes[COUNTS[name]] ?? 0)
      return { visible: count('visible'), notVisible: count('notVisible'), delayed: count('delayed') }
    },

    close: () => [polling, once, insisting].forEach((client) => client.destroy()),
  }
}

/** Calls about several messages. */
function batches(client: SQSClient) {
  return {
    /** Sends messages of which two would do no harm. @returns for each in turn its error, undefined if it was sent. */
    sendAll: (url: string, messages: readonly Outgoing[]) =>
      inBatches(
        messages,
        ({ parcel }) => parcel.text.length,
        (batch) => {
          const Entries = batch.map(({ id, item }) => ({ Id: id, ...sendInputOf(item) }))
          return client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }))
        },
      ),

    /** @returns for each receipt in turn its error; undefined if it was good, or had run out. */
    removeAll: async (url: string, receipts: readonly string[]): Promise<(Error | undefined)[]> => {
      const errors = await inBatches(
        receipts,
        () => 0,
        (batch) => {
          const Entries = batch.map(({ id, item }) => ({ Id: id, ReceiptHandle: item }))
          return client.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }))
        },
      )
      return errors.map((error) => (isRunOut(error) ? undefined : error))
    },
  }
}

function sendInputOf({ parcel, delaySeconds }: Outgoing) {
  return { MessageBody: parcel.text, MessageAttributes: parcel.attributes, DelaySeconds: delaySeconds }
}

function received({ MessageId, ReceiptHandle, Body, MessageAttributes, Attributes }: Message): Received {
  return {
    messageId: MessageId ?? '',
    receipt: ReceiptHandle ?? '',
    receives: Number(Attributes?.ApproximateReceiveCount ?? 1),
    parcel: { text: Body ?? '', attributes: MessageAttributes ?? {} },
  }
}

async function unlessRunOut(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (isRunOut(error)) return false
    throw error
  }
}

/**
 * SQS has two names of its own for a receipt that is no longer good, and one that it shares with every other parameter:
 * its text is then "Value … for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", or "…
 * Reason: Message does not exist or is not available for visibility timeout change."
 */
function isRunOut(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { name, message } = error
  if (/^InvalidParameterValue(Exception)?$/.test(name))
    return /parameter ReceiptHandle is invalid/i.test(message)
  return name === 'MessageNotInflight' || name === 'ReceiptHandleIsInvalid'
}
