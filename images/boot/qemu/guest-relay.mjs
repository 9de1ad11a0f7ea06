// Started by QEMU for each connection that the guest makes to a forwarded address: carries it to a port on the host.
// Descriptor 0 is the guest's connection, both ways. Ends when both sides have, or one fails; plain JavaScript, so
// that it starts as fast as Node can.   node guest-relay.mjs PORT
import { connect, Socket } from 'node:net'

const guest = new Socket({ fd: 0, readable: true, writable: true, allowHalfOpen: true })
const host = connect({ host: '127.0.0.1', port: Number(process.argv[2]), allowHalfOpen: true })
guest.pipe(host).pipe(guest)
for (const socket of [guest, host]) socket.on('error', () => process.exit(1))
