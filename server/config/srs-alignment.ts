// Refuses an SRS domain in the organisational domain of one of our own domains. SPF passes for every forwarded message.
// With relaxed alignment, any sender's forwarded message would then pass DMARC for our domain.
// Owns: when to load the public suffix list. Fails with InputError.
import { InputError } from '../../input/problems.ts'

const KEYS = { domain: 'srs.domain', acknowledged: 'srs.acknowledgeAligned' }

type SrsNames = { domain: string; acknowledgeAligned?: string | undefined }

/**
 * @param place the configuration or routes that the error names
 * @throws {InputError} if the SRS domain is aligned with one of `names` and the configuration does not acknowledge it.
 */
export async function checkSrsAlignment(
  place: string,
  srs: SrsNames,
  names: Iterable<string>,
): Promise<void> {
  const { domain, acknowledgeAligned: acknowledged } = srs
  const ending = lastLabels(domain)
  // An organisational domain has at least two labels. Names with different last two labels share none.
  const near = [...names].filter((name) => name === domain || lastLabels(name) === ending)
  if (near.length === 0 && acknowledged === undefined) return
  const { alignmentProblem } = await import('../../input/aligned-domains.ts')
  const problem = alignmentProblem({ domain, acknowledged }, near, KEYS)
  if (problem !== null) throw new InputError(place, [problem])
}

function lastLabels(name: string): string {
  return name.split('.').slice(-2).join('.')
}
