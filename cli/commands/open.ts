import { findServer } from '../server.ts';
import type { Command } from '../command.ts';

export const openCommand: Command = {
  name: 'open',
  summary: 'Print the address of the page with a new one-time code',
  usage: '',
  help: 'The code is good for an hour and for one use; the browser then keeps a session.',
  options: {},
  async run({ config, out, signal }) {
    const server = await findServer(config);
    const answer: unknown = await (await server.request('/api/codes', { method: 'POST', body: {}, signal })).json();
    const code: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'code') : undefined;
    out(`${server.url}/?code=${String(code)}\n`);
    return 0;
  },
};
