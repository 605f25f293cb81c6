import { WatershedError } from '#core/errors.ts';
import { findServer } from '../server.ts';
import { renderTable } from '../table.ts';
import type { Command } from '../command.ts';

export const tokensCommand: Command = {
  name: 'tokens',
  summary: 'Make, list and revoke named tokens',
  usage: 'list | create NAME [--admin] | revoke NAME',
  help: `
A token is a read-only one unless --admin is given. Its name is the user on the Postgres wire, the token the password. It is shown once.
  watershed tokens create grafana
  watershed tokens revoke grafana`,
  options: { admin: { type: 'boolean' }, json: { type: 'boolean' } },
  async run({ config, positionals, values, out, note }) {
    const [action = 'list', name] = positionals;
    const server = await findServer(config);
    if (action === 'list') {
      const answer: unknown = await (await server.request('/api/tokens')).json();
      if (values['json'] === true) out(`${JSON.stringify(answer)}\n`);
      else out(listed(answer));
      return 0;
    }
    if (name === undefined || !['create', 'revoke'].includes(action)) {
      throw new WatershedError('bad_request', `there is no tokens ${positionals.join(' ')}`, { hint: 'list, create NAME or revoke NAME' });
    }
    if (action === 'revoke') {
      await server.request(`/api/tokens/${encodeURIComponent(name)}`, { method: 'DELETE' });
      note(`${name} opens nothing any more`);
      return 0;
    }
    const kind = values['admin'] === true ? 'admin' : 'read';
    const answer: unknown = await (await server.request('/api/tokens', { method: 'POST', body: { name, kind } })).json();
    note('Keep it: it is not shown again.');
    out(values['json'] === true ? `${JSON.stringify(answer)}\n` : `${String(typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'token') : '')}\n`);
    return 0;
  },
};

function listed(answer: unknown): string {
  const tokens: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'tokens') : [];
  const names = ['name', 'kind', 'createdAt', 'createdBy', 'revokedAt'];
  const rows = Array.isArray(tokens) ? tokens.map((token: object) => names.map((name) => Reflect.get(token, name))) : [];
  return renderTable({ columns: names.map((name) => ({ name, type: 'VARCHAR' })), rows }, process.stdout.columns ?? 160).text;
}
