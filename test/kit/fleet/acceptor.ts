// A child process for the socket test: accepts on fd 3, answers each connection with its pid, drains on SIGTERM.
import { createServer } from 'node:net'

const server = createServer((socket) => {
  socket.on('error', () => {})
  // Some work between accept and answer, so that connections wait in the accept queue while one drains.
  setTimeout(() => socket.end(`${process.pid}\n`), 2)
})
server.listen({ fd: 3 }, () => process.send?.('listening'))
process.on('SIGTERM', () => {
  server.close(() => process.exit(0))
})
