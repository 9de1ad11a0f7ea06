// Compares versions of Debian packages (Debian policy 5.6.12, deb-version(7)).

/** Negative when `a` is older than `b`, 0 when they are equal, positive when it is newer. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [split(a), split(b)]
  return (
    left.epoch - right.epoch ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  )
}

/** `[epoch:]upstream[-revision]`; the revision begins at the last hyphen. No revision equals revision 0. */
function split(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(':')
  const rest = version.slice(colon + 1)
  const hyphen = rest.lastIndexOf('-')
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)),
    upstream: hyphen < 0 ? rest : rest.slice(0, hyphen),
    revision: hyphen < 0 ? '' : rest.slice(hyphen + 1),
  }
}

/** Runs of non-digits, compared by {@link weight}, alternate with runs of digits, compared as numbers. */
function compareParts(a: string, b: string): number {
  const runs = (text: string) => [...text.matchAll(/(\D*)(\d*)/g)]
  const [left, right] = [runs(a), runs(b)]
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const [, words = '', digits = ''] = left[index] ?? []
    const [, otherWords = '', otherDigits = ''] = right[index] ?? []
    const difference = compareWords(words, otherWords) || Number(digits) - Number(otherDigits)
    if (difference !== 0) return difference
  }
  return 0
}

function compareWords(a: string, b: string): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = weight(a[index]) - weight(b[index])
    if (difference !== 0) return difference
  }
  return 0
}

/** `~` sorts before the end of the text, the end before letters, letters before all other characters. */
function weight(character: string | undefined): number {
  if (character === '~') return -1
  if (character === undefined) return 0
  const code = character.charCodeAt(0)
  return /[A-Za-z]/.test(character) ? code : code + 256
}
