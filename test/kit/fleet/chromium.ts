// A page in a real chromium, driven by the DevTools protocol over a pipe: no port and no network.
// close() ends the browser and removes its profile. A failed call rejects with the protocol's message.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

type Message = { id?: number; method?: string; params?: object; result?: object; error?: { message: string } }
type Call = (method: string, params?: object) => Promise<object>

export type ChromiumPage = {
  /** URLs that the page asked for, and errors that its scripts threw. */
  requests: string[]
  errors: string[]
  resize: (width: number, height: number) => Promise<void>
  colorScheme: (scheme: 'light' | 'dark') => Promise<void>
  /** Loads the page again with its scripts off. */
  reloadWithoutScripts: () => Promise<void>
  /** The value of a JavaScript expression, which must be JSON. */
  evaluate: <Value>(expression: string) => Promise<Value>
  moveMouse: (x: number, y: number) => Promise<void>
  pressKey: (key: string) => Promise<void>
  close: () => Promise<void>
}

const OPTIONS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--hide-scrollbars',
  '--remote-debugging-pipe',
]

export async function openInChromium(html: string): Promise<ChromiumPage> {
  const folder = mkdtempSync(join(tmpdir(), 'chromium-'))
  const file = join(folder, 'page.html')
  writeFileSync(file, html)
  const child = spawn('chromium', [...OPTIONS, `--user-data-dir=${join(folder, 'profile')}`], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()))
  const requests: string[] = []
  const errors: string[] = []
  const browser = connect(child.stdio[3] as Writable, child.stdio[4] as Readable, (method, params) => {
    if (method === 'Network.requestWillBeSent') requests.push(params.request?.url ?? '')
    if (method === 'Runtime.exceptionThrown') errors.push(JSON.stringify(params))
  })
  const { targetId } = await browser('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await browser('Target.attachToTarget', { targetId, flatten: true })
  const page: Call = (method, params = {}) => browser(method, params, String(sessionId))
  for (const domain of ['Network', 'Runtime', 'Page']) await page(`${domain}.enable`)
  const evaluate = async <Value>(expression: string): Promise<Value> => {
    const reply = await page('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })
    const { result, exceptionDetails } = reply as { result: { value: Value }; exceptionDetails?: object }
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails))
    return result.value
  }
  const load = async () => {
    await page('Page.navigate', { url: `file://${file}` })
    while ((await evaluate('document.readyState + location.protocol')) !== 'completefile:') await nextFrame()
  }
  const nextFrame = () => new Promise((resolve) => setTimeout(resolve, 50))
  await load()
  return {
    requests,
    errors,
    evaluate,
    resize: async (width, height) => {
      await page('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
      await nextFrame()
    },
    colorScheme: async (value) => {
      await page('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] })
      await nextFrame()
    },
    reloadWithoutScripts: async () => {
      await page('Emulation.setScriptExecutionDisabled', { value: true })
      await load()
    },
    moveMouse: async (x, y) => void (await page('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y })),
    pressKey: async (key) => {
      for (const type of ['keyDown', 'keyUp']) await page('Input.dispatchKeyEvent', { type, key, code: key })
    },
    close: async () => {
      child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

type Event = { request?: { url: string } }

/** JSON messages that end in a zero byte, out on one pipe and in on the other. */
function connect(output: Writable, input: Readable, onEvent: (method: string, params: Event) => void) {
  const waiting = new Map<number, (message: Message) => void>()
  let lastId = 0
  let buffered = ''
  input.setEncoding('utf8').on('data', (chunk: string) => {
    const messages = (buffered + chunk).split('\0')
    buffered = messages.pop() ?? ''
    for (const text of messages) {
      const message = JSON.parse(text) as Message
      if (message.id !== undefined) waiting.get(message.id)?.(message)
      else onEvent(message.method ?? '', message.params ?? {})
    }
  })
  return async (
    method: string,
    params: object = {},
    sessionId?: string,
  ): Promise<Record<string, unknown>> => {
    const id = ++lastId
    const reply = new Promise<Message>((resolve) => waiting.set(id, resolve))
    output.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    const { result, error } = await reply
    if (error) throw new Error(`${method}: ${error.message}`)
    return (result ?? {}) as Record<string, unknown>
  }
}
