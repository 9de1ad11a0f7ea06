// Which domain names DMARC treats as one domain (RFC 7489 sections 3.1 and 3.2). Pure.
// Owns: the organisational domain by the public suffix list, and what is said of names that share one. Loading this
// file loads the list, some 100 KB, so that what must start fast imports it only when it is needed.
import { getDomain } from 'tldts'
import type { Problem } from './problems.ts'

/** The part of a name that its owner registered; the name itself when it is a public suffix. */
export function organisationalDomain(name: string): string {
  return getDomain(name, { allowPrivateDomains: true }) ?? name
}

/** Those of `names` under the organisational domain of `domain`. */
export function alignedNames(domain: string, names: Iterable<string>): string[] {
  const organisation = organisationalDomain(domain)
  return [...names].filter((name) => organisationalDomain(name) === organisation)
}

/**
 * The problem of an SRS domain that is aligned with `names`; null when it is not, or when that is acknowledged.
 * @param keys of the SRS domain, and of the setting that acknowledges it
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

/** Names in one error; a table may have thousands. */
const LISTED = 5

function listed(names: readonly string[]): string {
  const more = names.length - LISTED
  return `${names.slice(0, LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
