import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { expandHome, type Config } from '#core/config.ts';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';
import { findServer } from '../server.ts';
import { start } from '../../start.ts';
import type { Command, CommandInput } from '../command.ts';

export const startCommand: Command = {
  name: 'start',
  summary: 'Start everything in one process',
  usage: '[--world]',
  help: `
Starts the database in the data folder, the log, the writer, the jobs and the doors, and prints the address of the page with a
one-time code. An empty lake replays two sample floods (WATERSHED_SAMPLE=off leaves it empty). Ctrl-C drains and stops.
--world follows a made-up crisis on fake networks, in a data folder of its own (WATERSHED_DATA_DIR with -world behind it), whatever
database, log or token the environment names: no account needed, nothing of it is real.`,
  options: { world: { type: 'boolean' } },
  async run(input) {
    if (input.positionals.length > 0) {
      throw new WatershedError('bad_request', `start takes no ${input.positionals.join(' ')}`, { hint: 'watershed start --help' });
    }
    if (input.values['world'] === true) await startWorld(input);
    else await start(input);
    return 0;
  },
};

/** The fake network lives with the tests and is not in the installed package. */
async function startWorld(input: CommandInput): Promise<void> {
  const world = await import('#test/world/demo.ts').catch((error: unknown) => {
    if (systemCode(error) !== 'ERR_MODULE_NOT_FOUND' && systemCode(error) !== 'ERR_PACKAGE_IMPORT_NOT_DEFINED') throw error;
    throw new WatershedError('unsupported', 'the made-up crisis is not in the installed package', { hint: 'clone the repository: npm start -- --world' });
  });
  const { blueskyUrl, x, running } = await world.startDemo(input.signal);
  // Nothing that is made up may reach a real lake, and no real network is asked: neither database nor token of the
  // environment is used.
  const config: Config = {
    ...input.config, WATERSHED_DATA_DIR: `${input.config.WATERSHED_DATA_DIR}-world`, WATERSHED_SAMPLE: 'off',
    WATERSHED_BLUESKY_URL: blueskyUrl, WATERSHED_X_URL: x.url, WATERSHED_X_BEARER_TOKEN: x.token, WATERSHED_X_POSTS_PER_MONTH: 0,
    DATABASE_URL: undefined, KAFKA_BROKERS: undefined, REDIS_URL: undefined, TRINO_URL: undefined, WAREHOUSE_URI: undefined,
  };
  const started = start({ ...input, config, simulated: true });
  started.catch(() => undefined);
  await Promise.race([started, follow(config, input, world.demoEvent)]);
  await started;
  await running;
}

async function follow(config: CommandInput['config'], { signal, note }: CommandInput, event: object): Promise<void> {
  while (!signal.aborted) {
    try {
      // Not before our own doors are open: at the usual address another Watershed may be up, with a real lake.
      if (!await isOurs(config)) {
        await systemClock.sleep(300, signal).catch(() => undefined);
        continue;
      }
      const server = await findServer(config);
      await server.request('/api/events', { method: 'POST', body: event, signal });
      return;
    } catch (error) {
      if (error instanceof WatershedError && ['conflict', 'already_exists'].includes(error.code)) return; // made by an earlier start
      if (signal.aborted) return;
      await systemClock.sleep(300, signal).catch(() => undefined);
      if (!(error instanceof WatershedError) || !['unavailable', 'unauthorized'].includes(error.code)) note(messageOf(error));
    }
  }
}

async function isOurs(config: Config): Promise<boolean> {
  const path = join(resolve(expandHome(config.WATERSHED_DATA_DIR)), 'address.json');
  const address: unknown = JSON.parse(await readFile(path, 'utf8').catch(() => '{}'));
  return typeof address === 'object' && address !== null && 'pid' in address && address.pid === process.pid;
}
