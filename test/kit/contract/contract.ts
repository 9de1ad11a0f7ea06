// The contract of the queue (server/queue/queue.ts) as test cases. Each case is defined once; both engines'
// engine.contract.test.ts run all of them.
import { holdingCases } from './holding.ts'
import { enqueueCases, leaseCases } from './leasing.ts'
import type { ContractCases } from '../queue/harness.ts'
import { stepCases } from './steps.ts'
import { settlingCases } from './settling.ts'

export const CONTRACT: ContractCases = {
  ...enqueueCases,
  ...leaseCases,
  ...holdingCases,
  ...settlingCases,
  ...stepCases,
}
