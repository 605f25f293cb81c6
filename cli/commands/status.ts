import { systemClock } from '#core/clock.ts';
import type { Command } from '../command.ts';
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
    const health: unknown = await (await server.request('/api/health', { signal })).json();
    const found = member(health, 'landings');
    const landings: readonly unknown[] = Array.isArray(found) ? found : [];
    if (values['json'] === true) {
      out(`${JSON.stringify({ url: server.url, landings, server: answer })}\n`);
      return 0;
    }
    out(`running at ${server.url}\n`);
    for (const landing of landings) {
      const seconds = member(landing, 'commitAgeSeconds');
      const age = typeof seconds === 'number' ? `last commit ${Math.round(seconds)} s ago` : 'nothing committed yet';
      out(`  ${String(member(landing, 'landing')).padEnd(12)}${String(member(landing, 'waitingRecords')).padStart(10)} waiting   ${age}\n`);
    }
    out(describeStatus(answer));
    return 0;
  },
};

/** The answer of `GET /api/status` for a person; what this version does not know is shown as it is. */
export function describeStatus(answer: unknown, nowMs = systemClock.now()): string {
  const parts = Object.entries(typeof answer === 'object' && answer !== null ? answer : {});
  const sections = parts.map(([name, part]: [string, unknown]) => {
    if (name === 'simulated') return part === true ? 'SIMULATED: a made-up crisis on a fake network; no post of it is real\n' : '';
    if (!Array.isArray(part)) return `${name}\n${describe(part)}`;
    if (part.length === 0) return `${name}\n  none\n`;
    return `${name}\n${aligned(part.map((item: unknown) => rowOf(name, item, nowMs)))}`;
  });
  // What a network said must not steer the terminal.
  return sections.join('').replaceAll(/(?!\n)\p{Cc}/gu, ' ');
}

function rowOf(name: string, item: unknown, nowMs: number): string[] {
  const get = (key: string): unknown => member(item, key);
  const text = (key: string): string => typeof get(key) === 'string' ? String(get(key)) : '';
  if (name === 'collectors') {
    const lag = get('lagSeconds');
    return [text('source'), text('state'), typeof lag === 'number' ? `${Math.max(0, lag).toFixed(1)} s behind` : '',
      `since ${text('since').slice(0, 19)}Z`, text('message')];
  }
  if (name === 'jobs') {
    const lastRun = get('lastRun');
    const count = (key: string): string => Number(get(key) ?? 0) > 0 ? `${Number(get(key))} ${key}` : '';
    return [text('name'), runText(lastRun, nowMs), ['waiting', 'active', 'failed'].map(count).filter((part) => part !== '').join(', '),
      String(member(lastRun, 'error') ?? member(get('lastFailure'), 'reason') ?? '').slice(0, 200)];
  }
  return [oneLine(item)];
}

function runText(run: unknown, nowMs: number): string {
  if (typeof run !== 'object' || run === null) return 'not run yet by this process';
  const agoSeconds = Math.max(0, Math.round((nowMs - Date.parse(String(member(run, 'startedAt')))) / 1000));
  const durationMs = member(run, 'durationMs');
  const took = typeof durationMs === 'number' ? `, took ${(durationMs / 1000).toFixed(1)} s` : '';
  return `${String(member(run, 'outcome'))}, began ${agoSeconds} s ago${took}`;
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`).join('');
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function describe(part: unknown): string {
  if (typeof part !== 'object' || part === null) return `  ${String(part)}\n`;
  return Object.entries(part).map(([name, value]) => `  ${name.padEnd(16)} ${oneLine(value)}\n`).join('');
}

function oneLine(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value).filter(([name]) => name !== 'description')
    .map(([name, inner]) => `${name} ${typeof inner === 'object' ? JSON.stringify(inner) : String(inner)}`).join(', ');
}
