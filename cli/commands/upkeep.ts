import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import { systemClock, systemRandom } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import { upkeepRetentionMs } from '#transform/main.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openDuck } from '#warehouse/duck.ts';
import { createTableCache } from '#warehouse/table/files.ts';
import { keepTable, tableHealth, tableNames, type TableHealth, type UpkeepDone } from '#warehouse/upkeep/upkeep.ts';
import type { Command, CommandInput } from '../command.ts';
import { holdsLake, openLakeParts } from '../lake.ts';
import { renderTable } from '../table.ts';

export const upkeepCommand: Command = {
  name: 'upkeep',
  summary: 'Tell how healthy tables are, and tidy them now',
  usage: '[TABLE] [--run] [--json]',
  help: `
Hot files are as the writer made them or merged, filed ones hold one event and day each. would_merge, would_file and would_pack are the
numbers of files that upkeep would put together. The jobs do all of it every 30 s; --run does it now, beside a running server or without one.
  watershed upkeep posts --run`,
  options: { run: { type: 'boolean' }, json: { type: 'boolean' } },
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
    if (values['run'] !== true) {
      const found: TableHealth[] = [];
      for (const table of wanted) found.push(await tableHealth({ context }, table));
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
      done.push(await keepTable({ context, duck, retentionMs: upkeepRetentionMs(config), signal: input.signal }, table));
    }
    show(input, done);
    return 0;
  },
};

function show({ values, out }: CommandInput, tables: readonly (TableHealth | UpkeepDone)[]): void {
  if (values['json'] === true) return out(`${JSON.stringify({ tables })}\n`);
  const names = Object.keys(tables[0] ?? {});
  const columns = names.map((name) => ({ name: name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), type: name === 'table' ? 'VARCHAR' : 'BIGINT' }));
  const rows = tables.map((table) => Object.values(table));
  out(renderTable({ columns, rows }, process.stdout.columns ?? 160).text);
}
