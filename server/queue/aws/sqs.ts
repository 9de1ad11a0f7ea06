// Every call to the two SQS queues. Owns: which calls may be repeated.
// A receive is not repeated: the messages of a lost answer stay hidden, and a second receive would hide more.
// The first send of a message is repeated only if it did not reach SQS. If its answer is lost, the mail's
// sender gets a 4xx and retries. A repeated send would then add a second copy.
// Fails with the SDK's error; an expired receipt handle gives `false`.
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
import type { SqsMessage } from './message.ts'

/** Most messages in one receive of SQS. */
export const RECEIVE_BATCH = 10

/** The pauses before a message returns are 2, 4 … 512, 900 s. Its 12 receives last for three quarters of an hour. */
export const retrySeconds = (receiveCount: number) => Math.min(900, 2 ** receiveCount)

/** A received message. `receiveCount`: how often it has been received, this time included. */
export type ReceivedSqsMessage = {
  messageId: string
  receipt: string
  receiveCount: number
  message: SqsMessage
}

/** A message to send in a batch. */
export type OutgoingMessage = { message: SqsMessage; delaySeconds: number }

/** Approximate, and up to a minute late. */
export type SqsCounts = { visible: number; notVisible: number; delayed: number }

const COUNTS: Record<keyof SqsCounts, QueueAttributeName> = {
  visible: 'ApproximateNumberOfMessages',
  notVisible: 'ApproximateNumberOfMessagesNotVisible',
  delayed: 'ApproximateNumberOfMessagesDelayed',
}

export type SqsCalls = Awaited<ReturnType<typeof openSqs>>

/** @param waitSeconds the longest poll that a caller will ask for */
export async function openSqs(aws: AwsSettings, waitSeconds: number) {
  const polling = await sqsClient(aws, { maxAttempts: 1, waitSeconds })
  const once = await sqsClient(aws, { maxAttempts: 1 })
  const retrying = await sqsClient(aws)

  return {
    ...batches(retrying),

    /** `repeat`: a second copy of this message does no harm. */
    send: async (url: string, message: SqsMessage, delaySeconds: number, { repeat }: { repeat: boolean }) => {
      const input = { QueueUrl: url, ...sendInputOf({ message, delaySeconds }) }
      if (repeat) await retrying.send(new SendMessageCommand(input))
      else await sendFirst(() => once.send(new SendMessageCommand(input)))
    },

    receive: async (
      url: string,
      max: number,
      holdSeconds: number,
      pollSeconds: number,
    ): Promise<ReceivedSqsMessage[]> => {
      const command = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: Math.min(max, RECEIVE_BATCH),
        VisibilityTimeout: holdSeconds,
        WaitTimeSeconds: pollSeconds,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['ApproximateReceiveCount'],
      })
      const { Messages = [] } = await polling.send(command)
      return Messages.map(received)
    },

    remove: (url: string, receipt: string): Promise<boolean> =>
      unlessReceiptExpired(
        retrying.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: receipt })),
      ),

    /** Hides the message from other receivers for `seconds` from now; 0 makes it visible. */
    changeVisibility: (url: string, receipt: string, seconds: number): Promise<boolean> => {
      const held = { QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: seconds }
      return unlessReceiptExpired(retrying.send(new ChangeMessageVisibilityCommand(held)))
    },

    counts: async (url: string): Promise<SqsCounts> => {
      const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: Object.values(COUNTS) })
      const { Attributes = {} } = await retrying.send(command)
      const count = (name: keyof SqsCounts) => Number(Attributes[COUNTS[name]] ?? 0)
      return { visible: count('visible'), notVisible: count('notVisible'), delayed: count('delayed') }
    },

    close: () => [polling, once, retrying].forEach((client) => client.destroy()),
  }
}

/** Calls about several messages. */
function batches(client: SQSClient) {
  return {
    /**
     * Sends messages whose copies do no harm.
     * @returns for each in order its error; undefined if it was sent
     */
    sendAll: (url: string, messages: readonly OutgoingMessage[]) =>
      inBatches(
        messages,
        ({ message }) => message.text.length,
        (batch) => {
          const Entries = batch.map(({ id, item }) => ({ Id: id, ...sendInputOf(item) }))
          return client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }))
        },
      ),

    /** @returns for each receipt in order its error; undefined if it was deleted, or the receipt had expired */
    removeAll: async (url: string, receipts: readonly string[]): Promise<(Error | undefined)[]> => {
      const errors = await inBatches(
        receipts,
        () => 0,
        (batch) => {
          const Entries = batch.map(({ id, item }) => ({ Id: id, ReceiptHandle: item }))
          return client.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }))
        },
      )
      return errors.map((error) => (isReceiptExpired(error) ? undefined : error))
    },
  }
}

function sendInputOf({ message, delaySeconds }: OutgoingMessage) {
  return { MessageBody: message.text, MessageAttributes: message.attributes, DelaySeconds: delaySeconds }
}

function received({
  MessageId,
  ReceiptHandle,
  Body,
  MessageAttributes,
  Attributes,
}: Message): ReceivedSqsMessage {
  return {
    messageId: MessageId ?? '',
    receipt: ReceiptHandle ?? '',
    receiveCount: Number(Attributes?.ApproximateReceiveCount ?? 1),
    message: { text: Body ?? '', attributes: MessageAttributes ?? {} },
  }
}

async function unlessReceiptExpired(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (isReceiptExpired(error)) return false
    throw error
  }
}

/**
 * Whether the receipt handle has expired. SQS has two names for this error, and a third that it uses for every
 * parameter. The third one's text is "Value … for parameter ReceiptHandle is invalid. Reason: The receipt handle has
 * expired.", or "… Reason: Message does not exist or is not available for visibility timeout change."
 */
function isReceiptExpired(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { name, message } = error
  if (/^InvalidParameterValue(Exception)?$/.test(name))
    return /parameter ReceiptHandle is invalid/i.test(message)
  return name === 'MessageNotInflight' || name === 'ReceiptHandleIsInvalid'
}
