// cloud-init's user data for a conventional instance, and the unit of its server. Pure.
// Owns the server's configuration, and the commands that install the server at boot.
import { SERVER_FOLDER, SPOOL_PATH } from '../../../contract/image-paths.ts'
import { SMTP_PORT } from '../../../contract/ports.ts'
import { serverCredentials } from '../../boot/server-credentials.ts'
import { stringify } from 'yaml'
import { NODE_PACKAGE } from './node-package.ts'

/** Where the guest reaches the mirror. */
export const MIRROR_FROM_GUEST = { host: '10.0.2.101', port: 80 }
const MIRROR = `http://${MIRROR_FROM_GUEST.host}`
/** Addresses of the mirror's folders, as the guest sees them. */
export const APT = `${MIRROR}/apt`
export const TARBALLS = `${MIRROR}/npm`
export const SERVER_ARCHIVE = `${MIRROR}/mailfleet.tar.gz`

export const UNIT_PATH = 'etc/systemd/system/mailfleet.service'
const CONFIG_FOLDER = '/etc/mailfleet'
const CONFIG = `${CONFIG_FOLDER}/config.json`
/** Where systemd puts the credentials of the golden image's server. */
const CREDENTIALS_FOLDER = '/run/credentials/mailfleet.service'
const INSTALLER = '/usr/local/sbin/install-mailfleet'

/** A unit as people write one: after the network and so after cloud-init's files, restarted when it fails. */
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

/** Every credential of the golden image's server as a file; the configuration is its own but for its paths and its port. */
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

/** User data of an instance whose image has the server: its configuration. */
export function preinstalledUserData(): string {
  return cloudConfig({ write_files: configFiles() })
}

/** User data of an instance that installs the server: Node by apt, the server's packages by `npm ci`, from the mirror. */
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

/** Ends with status 1 at the first command that fails, as cloud-init then reports. */
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

/** The seed's other file; an instance takes another identifier for a first boot. */
export const META_DATA = 'instance-id: bench\nlocal-hostname: mx1\n'
