// Machine-readable reports: build/reports/NAME.json, one a command. The key names in them are a contract.
import { join } from 'node:path'
import { makeFolder, writeFileAtomic } from '../platform/atomic-file.ts'

/** Writes a report and returns its path. */
export function writeReport(reportsDir: string, name: string, report: object): string {
  makeFolder(reportsDir)
  const file = join(reportsDir, name)
  writeFileAtomic(file, `${JSON.stringify(report, null, 2)}\n`)
  return file
}
