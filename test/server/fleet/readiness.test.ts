// When an instance takes mail: once it has routes and its canary, until it drains, whatever fails meanwhile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { watchReadiness } from '../../../server/fleet/readiness.ts'
import { parseRoutes, type Routes } from '../../../server/routing/table.ts'

test('an instance is ready with routes and its canary back, until it drains', async () => {
  const back = Promise.withResolvers<void>()
  let routes: Routes | null = null
  let open = true
  let reached = false
  let problem: string | null = 'canary not back'
  const canary = { back: back.promise, problem: () => problem }
  const readiness = watchReadiness({
    isOpen: () => open,
    routes: { current: () => routes },
    queue: { problem: () => null },
    canary,
  })
  void readiness.reached.then(() => (reached = true))
  assert.equal(readiness.problem(), 'routes not loaded')

  problem = null
  back.resolve()
  await new Promise((resolve) => setTimeout(resolve, 150))
  assert.equal(reached, false, 'not ready without routes')

  routes = parseRoutes('routes.yaml', { domains: {} })
  await readiness.reached
  assert.equal(readiness.problem(), null)

  problem = 'canary not back'
  routes = null
  assert.equal(readiness.problem(), null)

  open = false
  assert.equal(readiness.problem(), 'draining')
})
