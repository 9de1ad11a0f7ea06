// Where the server is in an image. The units in images/system/ repeat these paths.

/** Node, the server's bundle and its native packages. */
export const SERVER_FOLDER = '/usr/lib/mailfleet'
export const NODE_PATH = `${SERVER_FOLDER}/node`
export const SERVER_PATH = `${SERVER_FOLDER}/server.mjs`
/** The embedded queue. */
export const SPOOL_PATH = '/var/spool/mailfleet'
