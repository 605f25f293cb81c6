import { SingleBar } from 'cli-progress';
import { createRegistry, type Registry } from '#core/events/registry.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import { databasePlaces } from '#ingest/archive/place.ts';
import { loadArchive, type LoadProgress, type LoadSummary } from '#ingest/archive/load.ts';
import { textOption, type Command, type CommandInput } from '../command.ts';
import { openClient, type Client } from '../client.ts';
import { findServer } from '../server.ts';

export const loadCommand: Command = {
  name: 'load',
  summary: 'Load archives of posts into an event',
  usage: 'FILE... --event NAME [--json]',
  help: `
Takes NDJSON (plain, gzip or zstd, told by its first bytes) of X API v2 objects, of v1.1 tweets (twarc, DMI-TCAT, EPIC), and CrisisLex CSV.
The event is found by id or name, and made where there is none. Needs a running server on this data folder (or DATABASE_URL).
Ctrl-C breaks it off; the same command goes on from there. Posts that are there already are counted as duplicates; what cannot be
read lies in table quarantine with the reason.
  watershed load tweets-2013-06.json.gz --event "Alberta floods"`,
  options: { event: { type: 'string' }, json: { type: 'boolean' } },
  async run(input) {
    const name = textOption(input, 'event');
    if (input.positionals.length === 0) throw new WatershedError('bad_request', 'give at least one file', { hint: 'watershed load FILE... --event NAME' });
    if (name === undefined) throw new WatershedError('bad_request', 'say which event the posts belong to', { hint: 'add --event NAME' });
    await using client = await openClient(input.config);
    const event = await eventOf(createRegistry({ database: client.database, clock: client.clock }), name);
    const progress = createBar(input);
    const summary = await loadArchive({
      files: input.positionals, eventId: event.id, log: client.log, places: databasePlaces(client.database), clock: client.clock,
      signal: input.signal, onProgress: progress.show,
    }).finally(progress.stop);
    const landed = await waitUntilLanded(client, summary, input);
    const fates = landed ? await countFates(input, event, summary) : undefined;
    report(input, event, summary, fates);
    return summary.interrupted || summary.files.some(({ problem }) => problem !== undefined) ? 1 : 0;
  },
};

async function eventOf(registry: Registry, name: string): Promise<CrisisEvent> {
  const known = (await registry.list()).find((event) => event.id === name || event.name.toLowerCase() === name.toLowerCase());
  return known ?? registry.create({ name, description: 'Loaded from an archive', sources: [], rule: {} }, 'command line');
}

function createBar({ interactive, note }: CommandInput): { show: (progress: LoadProgress) => void; stop: () => void } {
  if (!interactive) return { show: () => undefined, stop: () => undefined };
  const bar = new SingleBar({ format: '{file} {bar} {percentage}% | {appended} posts | {quarantined} set aside', hideCursor: true, clearOnComplete: false });
  let started = false;
  return {
    show({ file, fileBytes, bytesRead, appended, quarantined }) {
      if (!started) bar.start(fileBytes, 0, { file, appended: 0, quarantined: 0 });
      started = true;
      bar.setTotal(fileBytes);
      bar.update(bytesRead, { file, appended, quarantined });
    },
    stop() {
      bar.stop();
      if (started) note('');
    },
  };
}

interface Counts { readonly kept: number; readonly duplicate: number; readonly dead: number }

/**
 * What the tables hold of what this run appended, whatever else was landed meanwhile: rows of the event and records set
 * aside at the offsets it wrote to. Of the rest the table had the post already. Undefined where no SQL door answers
 * (the programs run apart): then the posts are safe and only the count is missing.
 */
async function countFates({ config, signal, note }: CommandInput, event: CrisisEvent, { offsets, files }: LoadSummary): Promise<Counts | undefined> {
  const appended = files.reduce((sum, file) => sum + file.appended, 0);
  if (offsets.size === 0) return { kept: 0, duplicate: 0, dead: 0 };
  const within = (partition: string, offset: string): string => [...offsets]
    .map(([number, { from, to }]) => `(${partition} = ${number} and ${offset} >= ${from} and ${offset} < ${to})`).join(' or ');
  const sql = `select (select count(*) from store.posts where event_id = $1 and (${within('log_partition', 'log_offset')})) as kept,
    (select count(*) from store.quarantine where topic = 'posts' and component = 'landing posts' and (${within('"partition"', '"offset"')})) as dead`;
  let answer: unknown;
  try {
    const server = await findServer(config);
    answer = await (await server.request('/api/sql', { method: 'POST', body: { sql, params: [event.id] }, signal })).json();
  } catch (error) {
    if (!isWatershedError(error, 'unavailable') && !isWatershedError(error, 'unauthorized')) throw error;
    note(`Everything is in the table. How many posts were there already could not be counted: ${error.message}.`);
    return undefined;
  }
  const rows: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'rows') : [];
  const [kept, dead] = Array.isArray(rows) && Array.isArray(rows[0]) ? rows[0].map(Number) : [];
  return { kept: kept ?? 0, dead: dead ?? 0, duplicate: appended - (kept ?? 0) - (dead ?? 0) };
}

const landingWaitMsMax = 10_000;

/** Whether the writer landed it; false when none does (none is running, or it is far behind). */
async function waitUntilLanded(client: Client, summary: LoadSummary, { signal, note }: CommandInput): Promise<boolean> {
  const identity = await client.log.identity('posts');
  let ends = new Map<number, bigint>();
  let movedAt = client.clock.monotonic();
  for (let told = false; !signal.aborted;) {
    const rows = await client.database.query<{ partition: number; to_offset: bigint }>(
      `select partition, max(to_offset) as to_offset from watershed.ledger where landing = 'posts' and log_identity = $1 group by partition`, [identity]);
    const now = new Map(rows.map((row) => [row.partition, row.to_offset]));
    if ([...summary.offsets].every(([partition, { to }]) => (now.get(partition) ?? 0n) >= to)) return true;
    if ([...now].some(([partition, to]) => ends.get(partition) !== to)) movedAt = client.clock.monotonic();
    ends = now;
    if (client.clock.monotonic() - movedAt > landingWaitMsMax) {
      note('Everything is in the log; no writer is landing it now. It will be in the table when `watershed start` runs.');
      return false;
    }
    if (!told) note('Everything is in the log; waiting for the table…');
    told = true;
    await client.clock.sleep(200, signal).catch(() => undefined);
  }
  return false;
}

function report({ values, out, note }: CommandInput, event: CrisisEvent, summary: LoadSummary, fates: Counts | undefined): void {
  if (values['json'] === true) {
    out(`${JSON.stringify({ event: event.id, interrupted: summary.interrupted, files: summary.files, landed: fates ?? null })}\n`);
    return;
  }
  for (const file of summary.files) {
    out(`${file.path}: ${file.read} records read, ${file.appended} posts appended\n`);
    for (const [reason, count] of Object.entries(file.quarantined)) out(`  ${count} set aside: ${reason}\n`);
    for (const [reason, count] of Object.entries(file.dropped)) out(`  ${count} left out: ${reason}\n`);
    if (file.problem !== undefined) out(`  not all of it could be read: ${file.problem}\n`);
  }
  if (fates !== undefined) {
    out(`in event ${event.id}: ${fates.kept} kept, ${fates.duplicate} there already, ${fates.dead} set aside by the writer`
      + ` (see lake.quarantine)\n`);
  }
  if (summary.interrupted) note('Broken off: the same command goes on from here.');
}
