/** The sender of bench/reports.ts as a process of its own, so that its memory is its own: URL, address, SMTP, token, moment. */
import { readFile } from 'node:fs/promises';
import { systemClock } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { createReports } from '#core/reports/reports.ts';
import { createMemoryStore } from '#core/store/memory.ts';
import { reportJob } from '#transform/jobs/report.ts';
import { askOverHttp } from '#transform/jobs/report-ask.ts';
import { createSend } from '#transform/jobs/report-send.ts';

const [databaseUrl = '', url = '', smtpUrl = '', token = '', at = ''] = process.argv.slice(2);
const startedMs = performance.now();
const clock = { ...systemClock, now: () => Number(at) };
const database = openDatabase(databaseUrl, { max: 4 });
const store = createMemoryStore();
await reportJob({
  database, clock, store, reports: createReports({ database, clock }), ask: askOverHttp({ url: () => url, tokenOf: async () => token }),
  send: createSend({ smtpUrl, mailFrom: 'watershed@example.org', clock: systemClock, store }),
}).run({}, { signal: new AbortController().signal, progress: async () => undefined });
const status = await readFile('/proc/self/status', 'utf8');
process.send?.({ seconds: (performance.now() - startedMs) / 1000, peakMb: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024 });
await database[Symbol.asyncDispose]();
process.disconnect?.();
