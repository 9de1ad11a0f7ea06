// Finds the domain names that DMARC treats as one domain (RFC 7489 sections 3.1 and 3.2). Pure.
// Owns: the organisational domain by the public suffix list, and the error about names that share one.
// This file loads the list of some 100 KB. The server imports it only when needed, for a fast start.
import { getDomain } from 'tldts'
import type { Problem } from './problems.ts'

/** The registered domain of a name; the name itself when it is a public suffix. */
export function organisationalDomain(name: string): string {
  return getDomain(name, { allowPrivateDomains: true }) ?? name
}

/** The `names` in the organisational domain of `domain`. */
export function alignedNames(domain: string, names: Iterable<string>): string[] {
  const organisation = organisationalDomain(domain)
  return [...names].filter((name) => organisationalDomain(name) === organisation)
}

/**
 * @returns the problem if DMARC aligns the SRS domain with `names` and the configuration does not acknowledge it
 * @param keys the settings with the SRS domain and the acknowledgement
 */
export function alignmentProblem(
  srs: { domain: string; acknowledged: string | undefined },
  names: Iterable<string>,
  keys: { domain: string; acknowledged: string },
): Problem | null {
  const organisation = organisationalDomain(srs.domain)
  if (srs.acknowledged === organisation) return null
  if (srs.acknowledged !== undefined) {
    const expected = `${organisation}, the organisational domain of ${srs.domain}, or no such key`
    return { key: keys.acknowledged, found: JSON.stringify(srs.acknowledged), expected }
  }
  const aligned = alignedNames(srs.domain, names)
  if (aligned.length === 0) return null
  return {
    key: keys.domain,
    found: `${srs.domain}, which DMARC aligns with ${listed(aligned)}`,
    expected: `a domain outside ${organisation}, or ${keys.acknowledged}: ${organisation}`,
  }
}

/** Most names in one error. A table may have thousands. */
const LISTED = 5

function listed(names: readonly string[]): string {
  const more = names.length - LISTED
  return `${names.slice(0, LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
