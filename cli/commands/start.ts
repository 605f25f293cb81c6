import { start } from '../../start.ts';
import type { Command } from '../command.ts';

export const startCommand: Command = {
  name: 'start',
  summary: 'Start everything in one process',
  usage: '',
  help: `
Starts the database in the data folder, the log, the writer, the jobs and the doors, and prints the address of the page with a
one-time code. An empty lake replays two sample floods (WATERSHED_SAMPLE=off leaves it empty). Ctrl-C drains and stops.`,
  options: {},
  async run({ config, signal, note, interactive }) {
    await start({ config, signal, note, interactive });
    return 0;
  },
};
