import { Socket } from 'node:net';
import { serveParent } from './session.ts';

// The engine's child process: speaks with its parent over descriptor 3 and ends with it.
const socket = new Socket({ fd: 3, readable: true, writable: true });
socket.on('close', () => process.exit(0));
socket.on('error', () => process.exit(0));
// The terminal sends Ctrl-C to all processes: it is the parent who says when to end.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
serveParent(socket);
