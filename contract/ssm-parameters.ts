// Names of our parameters in AWS Systems Manager: /mailfleet/CHANNEL/image and /mailfleet/STACK/srs-secrets.

/** Every name begins with it. */
export const PARAMETER_PREFIX = '/mailfleet/'

/** Holds the AMI id that the channel points to. */
export function imageParameter(channel: string): string {
  return `${PARAMETER_PREFIX}${channel}/image`
}

/** The channel whose image parameter this is; undefined for any other parameter. */
export function channelOfParameter(name: string): string | undefined {
  return /^\/mailfleet\/([^/]+)\/image$/.exec(name)?.[1]
}

/** The default name of a stack's SRS secrets. */
export function srsSecretsParameter(stack: string): string {
  return `${PARAMETER_PREFIX}${stack}/srs-secrets`
}
