// The ports of an instance, and the descriptor of its listening socket.
// The packet filter and the socket unit in images/system/ repeat the ports; a test compares them.

export const SMTP_PORT = 25
/** Serves the paths of admin-paths.ts. */
export const ADMIN_PORT = 9025
/** The first socket that systemd or the supervisor passes to the server (sd_listen_fds(3)): port 25. */
export const FIRST_PASSED_FD = 3
