import { readLandings } from '#warehouse/health.ts';
import type { Command } from '../command.ts';
import { openClient } from '../client.ts';
import { findServer } from '../server.ts';

export const statusCommand: Command = {
  name: 'status',
  summary: 'Tell how far the running server is',
  usage: '[--json]',
  help: `
What waits in the log for each landing, when it last committed, the jobs, and what was collected. Exit code 1 where no server answers.`,
  options: { json: { type: 'boolean' } },
  async run({ config, values, signal, out }) {
    const server = await findServer(config);
    const answer: unknown = await (await server.request('/api/status', { signal })).json();
    await using client = await openClient(config);
    const landings = await readLandings(client);
    if (values['json'] === true) {
      out(`${JSON.stringify({ url: server.url, landings, server: answer })}\n`);
      return 0;
    }
    out(`running at ${server.url}\n`);
    for (const { landing, waitingRecords, commitAgeSeconds } of landings) {
      const age = commitAgeSeconds === undefined ? 'nothing committed yet' : `last commit ${Math.round(commitAgeSeconds)} s ago`;
      out(`  ${landing.padEnd(12)}${String(waitingRecords).padStart(10)} waiting   ${age}\n`);
    }
    for (const [name, part] of Object.entries(typeof answer === 'object' && answer !== null ? answer : {})) {
      out(`${name}\n${describe(part)}`);
    }
    return 0;
  },
};

function describe(part: unknown): string {
  if (Array.isArray(part)) return part.map((item) => `  ${oneLine(item)}\n`).join('');
  if (typeof part !== 'object' || part === null) return `  ${String(part)}\n`;
  return Object.entries(part).map(([name, value]) => `  ${name.padEnd(16)} ${oneLine(value)}\n`).join('');
}

function oneLine(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value).filter(([name]) => name !== 'description').map(([name, inner]) => `${name} ${typeof inner === 'object' ? JSON.stringify(inner) : String(inner)}`).join(', ');
}
