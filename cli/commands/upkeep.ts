import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import { systemClock, systemRandom } from '#core/clock.ts';
import { catalogName, type TableName } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import { orphanAgeMs, upkeepRetentionMs } from '#transform/main.ts';
import { heldSnapshots } from '#warehouse/backup/hold.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openDuck } from '#warehouse/duck.ts';
import { createTableCache } from '#warehouse/table/files.ts';
import { deleteOrphans, findOrphans, type SweepOptions } from '#warehouse/upkeep/orphans.ts';
import { limitsByHand } from '#warehouse/upkeep/plan.ts';
import {
  keepTable, tableHealth, tableNames, upkeepPieces, type TableHealth, type UpkeepDone, type UpkeepPiece,
} from '#warehouse/upkeep/upkeep.ts';
import type { Command, CommandInput } from '../command.ts';
import { holdsLake, openLakeParts } from '../lake.ts';
import { renderTable } from '../table.ts';

export const upkeepCommand: Command = {
  name: 'upkeep',
  summary: 'Tell how healthy tables are, and tidy them now',
  usage: '[TABLE] [--run] [--only PIECE] [--json]',
  help: `
Hot files are as the writer made them or merged, filed ones hold one event and day each. would_merge, would_file, would_pack and
would_expire are the numbers of files and snapshots that upkeep would put together or let go. The jobs do all of it every 30 s; --run
does it now, beside a running server or without one, and files every day that is over. --only takes one of
  merge     many small hot files become one
  file      rows of hot files go to their event and day
  pack      small files of one event and day become one
  expire    old snapshots and files that only they reached go
  orphans   files that no table names and that are older than WATERSHED_ORPHAN_AGE_HOURS; without --run they are only listed
  watershed upkeep posts --run
  watershed upkeep --only orphans`,
  options: { run: { type: 'boolean' }, only: { type: 'string' }, json: { type: 'boolean' } },
  async run(input) {
    const { config, positionals, values } = input;
    const [given, ...more] = positionals;
    const wanted = given === undefined ? tableNames : tableNames.filter((name) => name === given);
    if (wanted.length === 0 || more.length > 0) {
      throw new WatershedError('bad_request', `there is no table ${positionals.join(' ')}`, { hint: `give none, or one of ${tableNames.join(', ')}` });
    }
    if (!(await holdsLake(config))) throw new WatershedError('not_found', 'there is no lake in this data folder yet', { hint: '`watershed start` makes one, or set WATERSHED_DATA_DIR' });
    await using lake = await openLakeParts(config);
    const context = {
      catalog: openPostgresCatalog(lake.database, { catalogName }), store: lake.store, clock: systemClock, random: systemRandom, cache: createTableCache(),
    };
    const retentionMs = upkeepRetentionMs(config);
    const held = () => heldSnapshots(lake.database);
    if (values['only'] === 'orphans') return await sweep(input, wanted, { context, minAgeMs: orphanAgeMs(config), signal: input.signal });
    const only = pieceOf(values['only']);
    const limits = { ...limitsByHand, hotBytesMax: config.WATERSHED_HOT_BYTES };
    if (values['run'] !== true) {
      const found: TableHealth[] = [];
      for (const table of wanted) found.push(await tableHealth({ context, retentionMs, limits }, table));
      show(input, found);
      return 0;
    }
    // A folder of its own: that of the jobs is emptied by whoever opens it.
    await using duck = await openDuck({
      staging: join(lake.dataDir, `staging-upkeep-${process.pid}`), memoryBytes: config.WATERSHED_MEMORY_BYTES, threads: availableParallelism(),
    });
    const done: UpkeepDone[] = [];
    for (const table of wanted) {
      input.note(`${table} …`);
      done.push(await keepTable({ context, duck, retentionMs, held, limits, only, signal: input.signal }, table));
    }
    show(input, done);
    return 0;
  },
};

function pieceOf(given: unknown): UpkeepPiece | undefined {
  const piece = upkeepPieces.find((name) => name === given);
  if (given === undefined || piece !== undefined) return piece;
  throw new WatershedError('bad_request', `upkeep has no piece ${String(given)}`, { hint: `give one of ${upkeepPieces.join(', ')}, orphans` });
}

interface Swept {
  readonly table: TableName;
  readonly listed: number;
  readonly orphans: number;
  readonly bytes: number;
  readonly deleted: number;
}

/** Without --run what would go is listed on standard error, name by name. */
async function sweep(input: CommandInput, wanted: readonly TableName[], options: SweepOptions): Promise<number> {
  const swept: Swept[] = [];
  for (const table of wanted) {
    const plan = await findOrphans(options, table);
    for (const { key, bytes } of plan.orphans) input.note(`${key} (${bytes} bytes)`);
    swept.push({
      table, listed: plan.listed, orphans: plan.orphans.length, bytes: plan.orphans.reduce((sum, { bytes }) => sum + bytes, 0),
      deleted: input.values['run'] === true ? await deleteOrphans(options, plan) : 0,
    });
  }
  show(input, swept);
  return 0;
}

function show({ values, out }: CommandInput, tables: readonly (TableHealth | UpkeepDone | Swept)[]): void {
  if (values['json'] === true) return out(`${JSON.stringify({ tables })}\n`);
  const names = Object.keys(tables[0] ?? {});
  const columns = names.map((name) => ({ name: name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), type: name === 'table' ? 'VARCHAR' : 'BIGINT' }));
  const rows = tables.map((table) => Object.values(table));
  out(renderTable({ columns, rows }, process.stdout.columns ?? 160).text);
}
