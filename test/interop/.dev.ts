import { startDoor } from './door.ts';
const door = await startDoor({ catalogue: process.argv[2] === 'c' });
console.log(door.url);
process.on('SIGTERM', async () => { await door[Symbol.asyncDispose](); process.exit(0); });
