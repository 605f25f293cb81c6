/**
 * Alerts and reports as a process of its own, for tests that kill it: `node report-process.ts URL SMTP FOLDER`. Each line on
 * standard input is a moment, `{nowMs, point?, nth?}`: everything that is due then is done, and `done` is said. At the NTH time
 * that crash point POINT is reached it kills itself with SIGKILL.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Clock, systemClock } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { WatershedError } from '#core/errors.ts';
import { createAlerts } from '#core/reports/alerts.ts';
import { createReports } from '#core/reports/reports.ts';
import { openFileStore } from '#core/store/file.ts';
import { alertJob } from '#transform/jobs/alert.ts';
import { reportJob } from '#transform/jobs/report.ts';
import { createSend } from '#transform/jobs/report-send.ts';

const [url = '', smtpUrl = '', folder = ''] = process.argv.slice(2);
let nowMs = 0;
const clock: Clock = { ...systemClock, now: () => nowMs, monotonic: () => nowMs };
let die: { point: string; nth: number } | undefined;
const reached = (point: string): void => {
  if (die?.point === point && --die.nth === 0) process.kill(process.pid, 'SIGKILL');
};

await using database = openDatabase(url, { max: 4, clock: systemClock });
const store = await openFileStore(join(folder, 'store'));
const send = createSend({ smtpUrl, mailFrom: 'watershed@example.org', clock: systemClock, store, timeoutMs: 1000 });
const reports = createReports({ database, clock });
const context = { signal: new AbortController().signal, progress: async () => undefined };

/** River is high on every seventh day. */
const isHigh = (): boolean => new Date(nowMs).getUTCDate() % 7 === 0;

const watching = alertJob({
  alerts: createAlerts({ database, clock }), clock, onTold: () => undefined,
  ask: async () => ({ columns: ['high'], rows: isHigh() ? [[true]] : [] }),
});
const delivering = reportJob({
  database, reports, clock, store,
  async ask(_owner, question) {
    reached('asked');
    if (typeof question !== 'string' && question.params[0] === 'fails') throw new WatershedError('statement_failed', 'the question is wrong');
    return { columns: ['n'], rows: [[nowMs]] };
  },
  async send(outgoing, signal) {
    reached('before send');
    const location = await send(outgoing, signal);
    reached('after send');
    return location;
  },
});

for await (const line of createInterface({ input: process.stdin })) {
  const moment: { nowMs: number; point?: string; nth?: number } = JSON.parse(line);
  ({ nowMs } = moment);
  die = moment.point === undefined ? undefined : { point: moment.point, nth: moment.nth ?? 1 };
  await watching.run({}, context);
  await delivering.run({}, context);
  console.log('done');
}
