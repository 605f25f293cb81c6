import { openFoundation } from '#core/main.ts';
import { openWarehouse } from '#warehouse/main.ts';
import type { Command } from '../command.ts';

export const migrateCommand: Command = {
  name: 'migrate',
  summary: 'Bring database, topics and tables to what this version needs, and end',
  usage: '',
  help: `
Every start does the same; where several programs run on their own (Kubernetes), this goes first. A database or table of a newer version is
refused, untouched.`,
  options: {},
  async run({ config, out }) {
    await using foundation = await openFoundation(config);
    await openWarehouse(foundation);
    out('Database, topics and tables are as this version needs them.\n');
    return 0;
  },
};
