import type { Config } from '#core/config.ts';
import { WatershedError } from '#core/errors.ts';
import { openFoundation } from '#core/main.ts';
import { openProbes } from '#core/probes.ts';
import { runTogether } from '#core/service.ts';
import { openWarehouse } from '#warehouse/main.ts';
import { ingest, sql, transform, warehouse, type Ground, type Program } from './programs.ts';
import { showProgress } from './progress.ts';

export interface StartOptions {
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** True where standard error is a terminal: the progress line rewrites itself there. */
  readonly interactive: boolean;
  /** A made-up crisis on fake networks: everything people see says so. */
  readonly simulated?: boolean;
}

/** All programs in one process: what `npm start` runs. Resolves when everything is drained and stopped. */
export async function start({ config, signal, note, interactive, simulated = false }: StartOptions): Promise<void> {
  await using foundation = await openFoundation(config, note);
  await using stack = new AsyncDisposableStack();
  const ground: Ground = { foundation, warehouse: await openWarehouse(foundation), stack, note };
  if (simulated) note('SIMULATED: a made-up crisis on a fake network; no post of it is real.');
  const collecting = await ingest(ground);
  const landing = await warehouse(ground);
  const jobs = await transform(ground);
  const doors = await sql(ground, async () => ({ simulated, ...await jobs.status() }));
  note('Ctrl-C drains and stops everything; starting again goes on where it was.');
  await runTogether([
    ...[doors, jobs, landing, collecting].flatMap(({ services }) => services),
    { name: 'progress', run: (stop) => showProgress({ foundation, note, interactive, metrics: foundation.metrics }, stop) },
  ], signal);
  note('Everything that was read is in the log or in the table; stopped.');
}

const programs = { ingest, warehouse, transform, sql } satisfies Record<string, (ground: Ground) => Promise<Program>>;
export type ProgramName = keyof typeof programs;
export const programNames = Object.keys(programs).filter((name): name is ProgramName => Object.hasOwn(programs, name));

/**
 * One program alone, on a database that all share. It answers /healthz, /readyz and /metrics on WATERSHED_METRICS_PORT;
 * `sql` does so on its own door. Resolves when it is drained and stopped.
 */
export async function runProgram(name: ProgramName, { config, signal, note }: Pick<StartOptions, 'config' | 'signal' | 'note'>): Promise<void> {
  if (config.DATABASE_URL === undefined) {
    throw new WatershedError('bad_config', `${name} alone needs the database that all programs share, and DATABASE_URL is not set`, {
      hint: 'set DATABASE_URL (and WAREHOUSE_URI) to the same for all; or run everything in one process with `watershed start`',
    });
  }
  await using foundation = await openFoundation(config);
  await using stack = new AsyncDisposableStack();
  const { services } = await programs[name]({ foundation, warehouse: await openWarehouse(foundation), stack, note });
  const probes = name === 'sql' ? undefined : stack.use(await openProbes({
    host: config.WATERSHED_HTTP_HOST, port: config.WATERSHED_METRICS_PORT, metrics: foundation.metrics,
    unready: async () => foundation.database.query('select 1').then(() => undefined, () => 'the database does not answer'),
  }));
  note(probes === undefined ? `${name} runs.` : `${name} runs; its health and metrics: ${probes.url}`);
  await runTogether([...services, ...(probes === undefined ? [] : [probes.service])], signal);
  note(`${name} is drained and stopped.`);
}
