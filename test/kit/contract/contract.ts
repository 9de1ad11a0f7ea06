// What both engines of the queue have to keep: server/queue/queue.ts, case by case. The cases are defined once, and
// embedded.test.ts and aws.test.ts run all of them.
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
