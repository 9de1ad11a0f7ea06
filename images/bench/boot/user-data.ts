// cloud-init's user data for a conventional instance, and the unit of its server. Pure.
// Owns the server's configuration, and the commands that install the server at boot.
import { SERVER_FOLDER, SPOOL_PATH } from '../../../contract/image-paths.ts'
import { SMTP_PORT } from '../../../contract/ports.ts'
import { serverCredentials } from '../../boot/server-credentials.ts'
import { stringify } from 'yaml'
import { NODE_PACKAGE } from './node-package.ts'

/** The mirror's address for the guest. */
export const MIRROR_FROM_GUEST = { host: '10.0.2.101', port: 80 }
const MIRROR = `http://${MIRROR_FROM_GUEST.host}`
/** The guest's URLs of the mirror's folders. */
export const APT = `${MIRROR}/apt`
export const TARBALLS = `${MIRROR}/npm`
export const SERVER_ARCHIVE = `${MIRROR}/mailfleet.tar.gz`

export const UNIT_PATH = 'etc/systemd/system/mailfleet.service'
const CONFIG_FOLDER = '/etc/mailfleet'
const CONFIG = `${CONFIG_FOLDER}/config.json`
/** systemd writes the credentials of the golden image's server here. */
const CREDENTIALS_FOLDER = '/run/credentials/mailfleet.service'
const INSTALLER = '/usr/local/sbin/install-mailfleet'

/** A usual unit. It starts after the network, and so after cloud-init's files. It restarts on failure. */
export function serverUnit(node: string): string {
  return [
    '[Unit]',
    'Description=Mail forwarding server',
    'Wants=network-online.target',
    'After=network-online.target',
    '',
    '[Service]',
    'User=mailfleet',
    'AmbientCapabilities=CAP_NET_BIND_SERVICE',
    'Environment=NODE_ENV=production UV_USE_IO_URING=0',
    `ExecStart=${node} ${SERVER_FOLDER}/server.mjs --config ${CONFIG}`,
    'Restart=on-failure',
    'LimitNOFILE=65536',
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n')
}

type File = { path: string; content: string; owner?: string; permissions?: string }

/** Each credential of the golden image's server as a file. In the configuration only the paths and the port differ. */
function configFiles(): File[] {
  const { 'mailfleet.config': text = '{}', ...others } = serverCredentials()
  const config = JSON.parse(text.replaceAll(CREDENTIALS_FOLDER, CONFIG_FOLDER)) as Record<string, object>
  const conventional = {
    ...config,
    listen: { ...config['listen'], smtp: { host: '0.0.0.0', port: SMTP_PORT } },
    queue: { ...config['queue'], path: SPOOL_PATH },
  }
  const secret = { owner: 'root:mailfleet', permissions: '0640' }
  return [
    { path: CONFIG, content: JSON.stringify(conventional), ...secret },
    ...Object.entries(others).map(([name, content]) => ({
      path: `${CONFIG_FOLDER}/${name}`,
      content,
      ...secret,
    })),
  ]
}

/** User data of an instance whose image has the server. It contains only the configuration. */
export function preinstalledUserData(): string {
  return cloudConfig({ write_files: configFiles() })
}

/** User data that installs the server from the mirror: Node by apt, the server's packages by `npm ci`. */
export function installingUserData(): string {
  return cloudConfig({
    write_files: [
      ...configFiles(),
      { path: '/etc/apt/sources.list.d/mirror.list', content: `deb [trusted=yes] ${APT} ./\n` },
      { path: `/${UNIT_PATH}`, content: serverUnit('/usr/bin/node') },
      { path: INSTALLER, content: installer(), permissions: '0755' },
    ],
    apt: { preserve_sources_list: true },
    package_update: true,
    packages: [NODE_PACKAGE],
    runcmd: [[INSTALLER]],
  })
}

/** The script exits with status 1 at the first command that fails, and cloud-init reports it. */
function installer(): string {
  return [
    '#!/bin/sh',
    'set -e',
    'export HOME=/root',
    `install -d -o mailfleet -g mailfleet ${SPOOL_PATH}`,
    `mkdir -p ${SERVER_FOLDER}`,
    `cd ${SERVER_FOLDER}`,
    `curl -fsS ${SERVER_ARCHIVE} | tar -xz`,
    `npm ci --omit=dev --no-audit --no-fund --no-update-notifier --registry=${TARBALLS}/`,
    'systemctl daemon-reload',
    'systemctl enable --now mailfleet.service',
    '',
  ].join('\n')
}

function cloudConfig(config: Record<string, unknown>): string {
  return `#cloud-config\n${stringify(config, { lineWidth: 0 })}`
}

/** The seed's other file. cloud-init treats a new instance-id as a first boot. */
export const META_DATA = 'instance-id: bench\nlocal-hostname: mx1\n'
