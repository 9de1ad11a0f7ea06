// What marks a published image on AWS: the tags of its AMI and snapshots, and their description.
// `mailfleet image publish` writes them; prune, promote and the deployment read them.

/** SHA-256 of disk.raw: the image's name. */
export const DIGEST_TAG = 'mailfleet:digest'
/** SHA-256 of the boot test's receipt. Only a tested image has it. */
export const RECEIPT_TAG = 'mailfleet:receipt'
/** The Git commit that was published. */
export const COMMIT_TAG = 'mailfleet:commit'
/** SHA-256 of the lock that the image was baked from. */
export const LOCK_TAG = 'mailfleet:lock'
/** On an incremental snapshot: the id of its parent, which EC2 does not report. */
export const PARENT_TAG = 'mailfleet:parent'
/** On a copy: region and id of the original. */
export const SOURCE_TAG = 'mailfleet:source'

/** Description of AMI and snapshot. An account with which the AMI is shared sees it, but no tags. */
export function imageDescription(digest: string): string {
  return `mailfleet image ${digest}`
}

/** The digest in an AMI's description; undefined when `mailfleet image publish` did not write it. */
export function digestOfDescription(description: string): string | undefined {
  return /^mailfleet image ([0-9a-f]{64})$/.exec(description)?.[1]
}
