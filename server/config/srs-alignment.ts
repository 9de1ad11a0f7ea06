// Refuses an SRS domain under the organisational domain of one of our own domains: SPF passes for every forwarded
// message, so that with relaxed alignment anyone's forwarded message would pass DMARC for that domain too.
// Owns: when the public suffix list has to be asked. Fails with InputError.
import { InputError } from '../../input/problems.ts'

const KEYS = { domain: 'srs.domain', acknowledged: 'srs.acknowledgeAligned' }

type SrsNames = { domain: string; acknowledgeAligned?: string | undefined }

/**
 * @param place what is refused: a configuration, or the routes that it goes with
 * @throws {InputError} if the SRS domain is aligned with one of `names`, and that is not acknowledged.
 */
export async function checkSrsAlignment(
  place: string,
  srs: SrsNames,
  names: Iterable<string>,
): Promise<void> {
  const { domain, acknowledgeAligned: acknowledged } = srs
  const ending = lastLabels(domain)
  // An organisational domain has two labels or more: names whose last two differ share none.
  const near = [...names].filter((name) => name === domain || lastLabels(name) === ending)
  if (near.length === 0 && acknowledged === undefined) return
  const { alignmentProblem } = await import('../../input/aligned-domains.ts')
  const problem = alignmentProblem({ domain, acknowledged }, near, KEYS)
  if (problem !== null) throw new InputError(place, [problem])
}

function lastLabels(name: string): string {
  return name.split('.').slice(-2).join('.')
}
