import { WatershedError } from '#core/errors.ts';
import { programNames, runProgram } from '../../start.ts';
import type { Command } from '../command.ts';

export const runCommand: Command = {
  name: 'run',
  summary: 'Start one program alone',
  usage: programNames.join('|'),
  help: `
For several processes or machines on one lake: DATABASE_URL, WAREHOUSE_URI and whatever else is set must be the same for all.
  ingest      sources to log; of several, one reads each source
  warehouse   log to tables; of several, one is active and another takes over within 10 s
  transform   jobs: classification, counts, upkeep
  sql         the page, the API and the Postgres wire; any number
/healthz, /readyz and /metrics are on WATERSHED_METRICS_PORT (of sql on its own port). Ctrl-C drains and stops.`,
  options: {},
  async run({ config, positionals, signal, note }) {
    const [given, ...more] = positionals;
    const name = programNames.find((candidate) => candidate === given);
    if (name === undefined || more.length > 0) {
      throw new WatershedError('bad_request', `there is no program ${positionals.join(' ') || '(none given)'}`, { hint: `give one of ${programNames.join(', ')}` });
    }
    await runProgram(name, { config, signal, note });
    return 0;
  },
};
