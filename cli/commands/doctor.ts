import { createServer } from 'node:net';
import { access, constants, statfs } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { systemClock } from '#core/clock.ts';
import type { Config } from '#core/config.ts';
import { catalogName, lakeSchema, storeNamespace } from '#core/contract/tables.ts';
import { readMigrations } from '#core/database/migrate.ts';
import { isWatershedError, messageOf, systemCode, WatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import { openLog } from '#core/main.ts';
import { openRedisQueue } from '#core/queue/redis.ts';
import { createTrinoEngine } from '#sql/engine/trino/engine.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { checkOffsets, checkTables } from '#warehouse/check.ts';
import { readLandings } from '#warehouse/health.ts';
import type { Command } from '../command.ts';
import { dataDirOf, holdsLake, openLakeParts, type LakeParts } from '../lake.ts';
import { findServer } from '../server.ts';

interface Finding {
  readonly part: string;
  readonly state: 'good' | 'look' | 'bad';
  readonly found: string;
  /** What to do about it. */
  readonly hint?: string;
}

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'Check every part and say what to do',
  usage: '[--json]',
  help: `
Data folder, database, log, store, tables (every file that they name), offsets, ports, and Redis and Trino where they are set. Starts the embedded
database for the while where no server runs; changes nothing else. Exit code 1 where something is bad.`,
  options: { json: { type: 'boolean' } },
  async run({ config, values, out }) {
    const findings = await examine(config);
    if (values['json'] === true) out(`${JSON.stringify({ findings })}\n`);
    else for (const finding of findings) out(render(finding));
    return findings.some(({ state }) => state === 'bad') ? 1 : 0;
  },
};

async function examine(config: Config): Promise<Finding[]> {
  const findings = [...await checkFolder(config), ...await checkPorts(config)];
  if (findings.some(({ state }) => state === 'bad')) return findings;
  await attempt(findings, 'queue', () => checkQueue(config, findings));
  if (!(await holdsLake(config))) return [...findings, { part: 'lake', state: 'look', found: 'there is none here yet', hint: '`watershed start` makes one' }];
  await attempt(findings, 'engine', () => checkEngine(config, findings));
  await attempt(findings, 'database', async () => {
    await using lake = await openLakeParts(config);
    const database = await checkDatabase(lake);
    findings.push(...database);
    if (database.some(({ state }) => state === 'bad')) return;
    await attempt(findings, 'store', () => checkStore(lake, findings));
    await using log = openLog(config, lake.database, systemClock);
    await attempt(findings, 'log', () => checkLog(lake, log, findings));
    // Without the log nothing can be said of offsets, and to ask it again takes as long again.
    const logIsBad = findings.some(({ part, state }) => part === 'log' && state === 'bad');
    const catalog = openPostgresCatalog(lake.database, { catalogName });
    await attempt(findings, 'tables', async () => {
      for (const { table, files, rows, missing } of await checkTables({ catalog, store: lake.store, log })) {
        const [first] = missing;
        findings.push(first === undefined ? { part: `table ${table}`, state: 'good', found: `${rows} rows in ${files} files, all there` }
          : { part: `table ${table}`, state: 'bad', found: `${missing.length} of ${files} files are missing or of another size, ${first} among them`,
            hint: 'restore the last backup into a new folder (`watershed restore`); keep this one as it is until then' });
      }
    });
    if (!logIsBad) await attempt(findings, 'offsets', async () => {
      await checkOffsets({ catalog, store: lake.store, log, clock: systemClock });
      findings.push({ part: 'offsets', state: 'good', found: 'tables and ledger end at the same places' });
    });
  });
  return findings;
}

async function attempt(findings: Finding[], part: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const hint = isWatershedError(error) ? error.hint : undefined;
    findings.push({ part, state: 'bad', found: messageOf(error), ...(hint === undefined ? {} : { hint }) });
  }
}

const freeBytesMin = 2 * 1024 ** 3;

async function checkFolder(config: Config): Promise<Finding[]> {
  const folder = dataDirOf(config);
  if (!existsSync(folder)) return [{ part: 'data folder', state: 'look', found: `${folder} does not exist`, hint: 'the first start makes it; or set WATERSHED_DATA_DIR' }];
  try {
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return [{ part: 'data folder', state: 'bad', found: `this user may not read and write ${folder}`, hint: 'change its owner or mode, or run as its owner' }];
  }
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const found = `${folder}, ${(free / 1024 ** 3).toFixed(1)} GB free`;
  return [free < freeBytesMin ? { part: 'data folder', state: 'look', found, hint: 'make room: writing stops when the disk is full (nothing is lost)' }
    : { part: 'data folder', state: 'good', found }];
}

async function checkPorts(config: Config): Promise<Finding[]> {
  const server = await findServer(config).then((found) => found.request('/api/status').then(() => found.url), () => undefined).catch(() => undefined);
  if (server !== undefined) return [{ part: 'server', state: 'good', found: `answers at ${server}` }];
  const wanted = [['WATERSHED_HTTP_PORT', config.WATERSHED_HTTP_PORT], ['WATERSHED_PGWIRE_PORT', config.WATERSHED_PGWIRE_PORT]] as const;
  const findings: Finding[] = [{ part: 'server', state: 'look', found: 'none runs on this data folder', hint: '`watershed start`' }];
  for (const [name, port] of wanted) {
    const code = await listenError(config.WATERSHED_HTTP_HOST, port);
    findings.push(code === undefined ? { part: name, state: 'good', found: `${port} is free` }
      : { part: name, state: 'bad', found: `${port} cannot be listened on (${code})`, hint: `stop what listens there, or set ${name} to another port (0 takes a free one)` });
  }
  return findings;
}

function listenError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(systemCode(error) ?? messageOf(error)));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

async function checkDatabase({ database }: LakeParts): Promise<Finding[]> {
  const [server] = await database.query<{ version: string; migrated: boolean }>(
    `select current_setting('server_version') as version, to_regclass('watershed.migration') is not null as migrated`);
  if (server?.migrated !== true) return [{ part: 'database', state: 'bad', found: 'it answers, and holds no lake', hint: '`watershed start` makes one; or look at DATABASE_URL' }];
  const known = (await readMigrations()).at(-1)?.number ?? 0;
  const [row] = await database.query<{ number: number }>('select max(number) as number from watershed.migration');
  const number = row?.number ?? 0;
  if (number > known) return [{ part: 'database', state: 'bad', found: `its schema (${number}) is newer than this program (${known})`, hint: 'start the newer version' }];
  if (number < known) return [{ part: 'database', state: 'look', found: `its schema (${number}) is older than this program (${known})`, hint: 'the next start migrates it' }];
  return [{ part: 'database', state: 'good', found: `PostgreSQL ${server.version}, schema ${number}` }];
}

async function checkStore({ database, store }: LakeParts, findings: Finding[]): Promise<void> {
  const [lake] = await database.query<{ uri: string }>('select warehouse_uri as uri from watershed.lake');
  if (lake !== undefined && lake.uri !== store.uri) {
    throw new WatershedError('foreign_lake', `the lake keeps its tables at ${lake.uri}, and the configuration says ${store.uri}`, {
      hint: 'set WAREHOUSE_URI or WATERSHED_DATA_DIR back',
    });
  }
  const key = 'doctor/probe';
  await store.put(key, Buffer.from('probe'));
  const back = Buffer.from(await store.get(key)).toString();
  await store.delete(key);
  if (back !== 'probe') throw new WatershedError('corrupt', `${store.uri} gave back other bytes than were put`);
  findings.push({ part: 'store', state: 'good', found: `${store.uri} takes, gives and deletes` });
}

async function checkLog({ database, running }: LakeParts, log: Log, findings: Finding[]): Promise<void> {
  const [lake] = await database.query<{ identity: string }>('select log_identity as identity from watershed.lake');
  const identity = await log.identity('posts');
  if (lake !== undefined && lake.identity !== identity) {
    throw new WatershedError('foreign_lake', `the lake was filled from the log ${lake.identity}; this one is ${identity}`, { hint: 'set KAFKA_BROKERS back as it was' });
  }
  const behind = (await readLandings({ database, log })).filter(({ waitingRecords }) => waitingRecords > 0);
  const waiting = behind.reduce((sum, { waitingRecords }) => sum + waitingRecords, 0);
  const found = `${log.kind}; ${waiting} records wait for a table`;
  findings.push(waiting === 0 || running ? { part: 'log', state: 'good', found }
    : { part: 'log', state: 'look', found, hint: 'they land when a writer runs: `watershed start`, or `watershed run warehouse`' });
}

/** Jobs in PostgreSQL are checked with the database. */
async function checkQueue({ REDIS_URL: url }: Config, findings: Finding[]): Promise<void> {
  if (url === undefined) return;
  await using queue = await openRedisQueue(url);
  findings.push({ part: 'queue', state: 'good', found: `${queue.kind} answers, and forgets no job` });
}

/** Long enough for a Trino that is still starting, see its client. */
const trinoTimeoutMs = 60_000;

async function checkEngine({ TRINO_URL: url, TRINO_CATALOG: catalog }: Config, findings: Finding[]): Promise<void> {
  if (url === undefined) return;
  await using engine = createTrinoEngine({ url, catalog, schema: lakeSchema, schemas: [lakeSchema, storeNamespace], clock: systemClock });
  const { chunks } = await engine.run({
    sql: 'select count(*) from lake.events', params: [], user: 'doctor', encoding: 'json', signal: AbortSignal.timeout(trinoTimeoutMs),
    limits: { timeoutMs: trinoTimeoutMs, rowsMax: 1, bytesMax: 1_000_000 },
  });
  for await (const _chunk of chunks) { /* until it has answered */ }
  findings.push({ part: 'engine', state: 'good', found: 'trino answers from the lake' });
}

function render({ part, state, found, hint }: Finding): string {
  const mark = { good: 'ok  ', look: 'look', bad: 'BAD ' }[state];
  return `${mark} ${part.padEnd(22)} ${found}\n${hint === undefined ? '' : `     ${''.padEnd(22)} → ${hint}\n`}`;
}
