// Two months of reports and an alert, in which everything goes wrong that can: every slot is delivered once, or its failure is shown.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { manualClock, seededRandom } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createAlerts } from '#core/reports/alerts.ts';
import { createReports, type ReportInput } from '#core/reports/reports.ts';
import type { RunView } from '#core/reports/runs.ts';
import { openFileStore } from '#core/store/file.ts';
import { openPostbox, openReceiver, type Postbox, type Receiver } from '#test/report-world.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';

const at = (text: string): number => Date.parse(text);
const start = at('2026-02-20T00:00Z');
const end = at('2026-04-20T00:00Z');
const hour = 3_600_000;
const day = 24 * hour;
const seed = 14;

let postgres: TestPostgres;
let database: Database;
let databaseUrl: string;
let box: Postbox;
let hook: Receiver;
let folder: string;

beforeAll(async () => {
  postgres = await startPostgres();
  databaseUrl = await postgres.createDatabase();
  database = openDatabase(databaseUrl, { max: 4 });
  await migrate(database);
  box = await openPostbox();
  hook = await openReceiver();
  folder = await temporaryFolder('reports');
});

afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await box[Symbol.asyncDispose]();
  await hook[Symbol.asyncDispose]();
  await postgres.stop();
  await removeFolder(folder);
});

/** Slots as a calendar has them: Denver goes to summer time on 8 March at 09:00 UTC, Berlin on 29 March at 01:00 UTC. */
const denver = (date: number): number => (date + 14 * hour < at('2026-03-08T09:00Z') ? 7 : 6) * hour;
const berlin = (date: number): number => (date + 2.5 * hour - hour < at('2026-03-29T01:00Z') ? -1 : -2) * hour;
const days = Array.from({ length: (end - start) / day + 2 }, (_, index) => start - day + index * day);
const calendar: Readonly<Record<string, number[]>> = {
  morning: days.map((date) => date + 7 * hour + denver(date)),
  // Half past two does not exist on 29 March: it is the first moment after.
  night: days.map((date) => (date === at('2026-03-29T00:00Z') ? at('2026-03-29T01:00Z') : date + 2.5 * hour + berlin(date))),
  often: days.flatMap((date) => [0, 15].map((hours) => date + hours * hour)),
  monday: days.filter((date) => new Date(date).getUTCDay() === 1).map((date) => date + 9 * hour + denver(date)),
  noon: days.map((date) => date + 12 * hour),
  broken: days.map((date) => date + 18 * hour),
};

const common = { layout: 'queries', parameters: {}, content: [{ query: 'q1', show: 'table' as const }] };
const mail = (format: 'html' | 'csv') => ({ kind: 'mail' as const, target: 'manager@example.org', format });
const inputs = (): ReportInput[] => [
  { ...common, name: 'morning', cron: '0 7 * * *', timeZone: 'America/Denver', catchUp: 'all', deliveries: [mail('html'), { kind: 'webhook', target: hook.url, format: 'csv' }] },
  { ...common, name: 'night', cron: '30 2 * * *', timeZone: 'Europe/Berlin', catchUp: 'all', deliveries: [mail('csv')] },
  { ...common, name: 'often', cron: '0 0,15 * * *', timeZone: 'UTC', catchUp: 'all', deliveries: [{ kind: 'store', target: 'often', format: 'csv' }] },
  { ...common, name: 'monday', cron: '0 9 * * 1', timeZone: 'America/Denver', catchUp: 'skip', deliveries: [{ kind: 'webhook', target: hook.url, format: 'xlsx' }] },
  { ...common, name: 'noon', cron: '0 12 * * *', timeZone: 'UTC', catchUp: 'last', deliveries: [{ kind: 'webhook', target: hook.url, format: 'csv' }, mail('csv')] },
  { ...common, name: 'broken', content: [{ query: 'q1', show: 'table', values: { which: 'fails' } }], cron: '0 18 * * *', timeZone: 'UTC', catchUp: 'last', deliveries: [mail('csv')] },
];

let child: ChildProcessByStdio<Writable, Readable, null> | undefined;
let lines: AsyncIterator<string>;

/** Does what is due at a moment; false where the process was killed meanwhile. */
async function step(moment: { nowMs: number; point?: string; nth?: number }): Promise<boolean> {
  if (child === undefined) {
    child = spawn(process.execPath, [join(import.meta.dirname, '..', '..', 'test', 'crash', 'report-process.ts'), databaseUrl, box.url, folder],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env['PATH'] } });
    child.stdin.on('error', () => undefined);
    lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }
  child.stdin.write(`${JSON.stringify(moment)}\n`);
  const { done } = await lines.next();
  if (done !== true) return true;
  child = undefined;
  return false;
}

async function openRuns(): Promise<number> {
  const [row] = await database.query<{ open: bigint }>("select count(*) as open from watershed.report_run where state in ('planned', 'delivering')");
  return Number(row?.open ?? 0);
}

/** The moments at which something ran, as they came. */
const moments: number[] = [];
let kills = 0;

async function live(random: () => number): Promise<void> {
  const slots = [...new Set(Object.values(calendar).flat())].filter((slot) => slot > start && slot < end).toSorted((a, b) => a - b);
  const points = ['asked', 'before send', 'after send'];
  const act = async (nowMs: number): Promise<void> => {
    moments.push(nowMs);
    const dies = random() < 0.14;
    const alive = await step({ nowMs, ...(dies ? { point: points[Math.floor(random() * 3)] ?? '', nth: 1 + Math.floor(random() * 2) } : {}) });
    if (!alive) kills++;
  };
  let now = start;
  let turnedBack = false;
  for (const slot of slots) {
    if (slot < now) continue;
    now = slot + 30_000 + Math.floor(random() * 60_000);
    await act(now);
    if (!turnedBack && now > at('2026-03-20T00:00Z')) {
      // Somebody sets the clock back by three hours and, two hours later, right again.
      turnedBack = true;
      for (const backMs of [3 * hour, 2 * hour]) await act(now - backMs);
    }
    for (let wait = 0; wait < 2 && await openRuns() > 0; wait++) await act(now += 31 * 60_000);
    // Now and then the machine is away for two days.
    if (random() < 0.02) now += 2 * day;
  }
  for (let wait = 0; wait < 40 && await openRuns() > 0; wait++) await act(now += 31 * 60_000);
  child?.kill('SIGKILL');
}

test('two months: each slot once, or its failure shown', async () => {
  const random = seededRandom(seed);
  await database.execute(`insert into watershed.saved_query (id, name, description, owner, statement, parameters, version, created_at, updated_at, updated_by)
    values ('q1', 'Posts', '', 'admin', 'select 1', '[{"name": "which", "type": "text", "default": "runs"}]', 1, now(), now(), 'admin')`);
  const clock = manualClock(start);
  const reports = createReports({ database, clock });
  for (const input of inputs()) await reports.create(input, 'admin');
  const alerts = createAlerts({ database, clock });
  await alerts.create({ name: 'River', condition: { kind: 'rows', sql: 'select 1' }, recipients: [{ kind: 'mail', target: 'duty@example.org' }, { kind: 'webhook', target: hook.url }] }, 'admin');
  box.fate = () => { const dice = random(); return dice < 0.7 ? 'take' : dice < 0.82 ? 'later' : dice < 0.92 ? 'drop' : dice < 0.98 ? 'never' : 'hang'; };
  const accepted: string[] = [];
  hook.answer = (_nth, { headers }, response) => {
    const dice = random();
    if (dice < 0.85) accepted.push(String(headers['idempotency-key']));
    if (dice < 0.75) return 204;
    if (dice < 0.82) { response.destroy(); return undefined; } // it has it, and nobody hears so
    if (dice < 0.85) return undefined; // it has it, and never says so
    return dice < 0.97 ? 503 : 410;
  };
  await live(random);
  expect(kills).toBeGreaterThan(8);

  const store = await openFileStore(join(folder, 'store'));
  const copies = (key: string): number => box.mails.filter(({ headers }) => headers.get('x-watershed-key') === key).length;
  const known = new Set<string>();
  let sent = 0;
  let failed = 0;
  const check = async (run: RunView): Promise<void> => {
    const keys = await database.query<{ key: string }>('select key from watershed.report_delivery where run_id = $1 order by position', [run.id]);
    for (const [position, delivery] of run.deliveries.entries()) {
      const key = keys[position]?.key ?? '';
      known.add(key);
      const what = [key, delivery.state, delivery.error];
      if (delivery.state === 'sent') sent++;
      else failed++;
      if (run.state === 'done') expect([...what, 'sent']).toEqual([...what, delivery.state]);
      if (delivery.state === 'failed') expect(delivery.error).not.toBeNull();
      if (delivery.kind === 'mail') {
        const count = copies(key);
        if (delivery.state === 'sent') expect([...what, count >= 1]).toEqual([...what, true]);
        // Where it came twice, or failed and came all the same, the history says that it may have.
        if (count > (delivery.state === 'sent' ? 1 : 0)) expect([...what, delivery.perhapsTwice]).toEqual([...what, true]);
      } else if (delivery.kind === 'webhook') {
        if (delivery.state === 'sent') expect([...what, accepted.includes(key)]).toEqual([...what, true]);
        expect(delivery.perhapsTwice).toBe(false);
      } else if (delivery.state === 'sent') {
        const name = `reports/often/often-${run.slot.slice(0, 16).replace(':', '')}Z.csv`;
        expect(delivery.location).toBe(`${store.uri}/${name}`);
        expect(Buffer.from(await store.get(name))).toEqual((await reports.output(run.id, 'csv')).bytes);
      }
    }
  };

  const last = Math.max(...moments);
  for (const { name, catchUp } of inputs()) {
    const runs = (await reports.runs(name, 10_000)).toReversed();
    // What is due between two looks runs, but for what was missed under the report's rule.
    const expected = new Map<number, boolean>();
    let planned = start;
    for (const moment of moments) {
      const due = (calendar[name] ?? []).filter((slot) => slot > planned && slot <= moment);
      for (const slot of due) expected.set(slot, catchUp === 'all' || moment - slot <= 10 * 60_000 || (catchUp === 'last' && slot === due.at(-1)));
      planned = Math.max(planned, moment);
    }
    expect(last).toBeGreaterThan(end - day);
    expect(runs.map(({ slot, state }) => [name, slot, state === 'skipped'])).toEqual([...expected].map(([slot, runs]) => [name, new Date(slot).toISOString(), !runs]));
    for (const run of runs.filter(({ state }) => state !== 'skipped')) {
      expect([run.slot, ['done', 'failed'].includes(run.state)]).toEqual([run.slot, true]);
      if (name === 'broken') expect([run.state, run.error]).toEqual(['failed', 'the question is wrong']);
      else if (run.state === 'failed') expect(run.deliveries.some(({ state }) => state === 'failed')).toBe(true);
      if (name !== 'broken') await check(run);
    }
  }
  // The alert was told at each change that somebody looked at, in turn.
  let high = false;
  const changes: string[] = [];
  for (const moment of moments) {
    const isHigh = new Date(moment).getUTCDate() % 7 === 0;
    if (isHigh !== high) changes.push(isHigh ? 'begun' : 'over');
    high = isHigh;
  }
  const told = (await alerts.runs('river', 1000)).toSorted((a, b) => Number(a.id) - Number(b.id));
  expect(told.map(({ kind }) => kind)).toEqual(changes);
  for (const run of told) await check(run);
  // Nobody got anything else, and most got it.
  expect(box.mails.map(({ headers }) => String(headers.get('x-watershed-key'))).filter((key) => !known.has(key))).toEqual([]);
  expect(accepted.filter((key) => !known.has(key))).toEqual([]);
  expect(sent).toBeGreaterThan(10 * failed);
}, 1_200_000);
