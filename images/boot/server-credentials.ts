// The configuration, routes and TLS key of the tested server, as the systemd credentials that an image reads. Pure.
// Owns the one address that the guest may reach.
import { SPOOL_PATH } from '../../contract/image-paths.ts'
import { ADMIN_PORT, FIRST_PASSED_FD } from '../../contract/ports.ts'
import { TLS_CERTIFICATE, TLS_KEY } from './test-tls.ts'
import { ALIAS, DESTINATION, SERVER_NAME, SRS_DOMAIN } from './test-message.ts'

/** The only address that the guest can reach. QEMU forwards it to the sink. */
export const RELAY_FROM_GUEST = { host: '10.0.2.100', port: 2526 }

/** The folder of the service's systemd credentials. */
const CREDENTIALS_PATH = '/run/credentials/mailfleet.service'
const TLS_KEY_NAME = 'mailfleet.tls-key'
const TLS_CERTIFICATE_NAME = 'mailfleet.tls-certificate'

export type ServerSettings = {
  queue?: Record<string, unknown>
  delivery?: Record<string, unknown>
  retry?: Record<string, unknown>
  /** Domain → alias → destinations; by default the boot test's one alias. */
  routes?: Record<string, Record<string, readonly string[]>>
}

/** The credentials of a server that relays to {@link RELAY_FROM_GUEST} and keeps its queue on the spool disk. */
export function serverCredentials(settings: ServerSettings = {}): Record<string, string> {
  const [local = '', domain = ''] = ALIAS.split('@')
  const config = {
    hostname: SERVER_NAME,
    postmaster: DESTINATION,
    listen: { smtp: { fd: FIRST_PASSED_FD }, admin: { host: '0.0.0.0', port: ADMIN_PORT } },
    queue: { path: SPOOL_PATH, volatile: false, ...settings.queue },
    routes: { file: `${CREDENTIALS_PATH}/mailfleet.routes` },
    tls: {
      keyFile: `${CREDENTIALS_PATH}/${TLS_KEY_NAME}`,
      certFile: `${CREDENTIALS_PATH}/${TLS_CERTIFICATE_NAME}`,
    },
    srs: { domain: SRS_DOMAIN, secrets: ['a secret of the boot test, which keeps nothing'] },
    delivery: { relay: RELAY_FROM_GUEST, ...settings.delivery },
    retry: { ...settings.retry },
  }
  const { routes: aliases = { [domain]: { [local]: [DESTINATION] } } } = settings
  const domains = Object.fromEntries(Object.entries(aliases).map(([name, own]) => [name, { aliases: own }]))
  return {
    'mailfleet.config': JSON.stringify(config),
    'mailfleet.routes': JSON.stringify({ domains }),
    [TLS_KEY_NAME]: TLS_KEY,
    [TLS_CERTIFICATE_NAME]: TLS_CERTIFICATE,
  }
}
