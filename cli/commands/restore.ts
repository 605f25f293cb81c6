import { join, resolve } from 'node:path';
import { WatershedError } from '#core/errors.ts';
import { checkArchive } from '#warehouse/backup/archive.ts';
import { restore } from '#warehouse/backup/restore.ts';
import type { Command } from '../command.ts';
import { openLakeParts } from '../lake.ts';

export const restoreCommand: Command = {
  name: 'restore',
  summary: 'Put a backup into an empty data folder, database and store',
  usage: 'FILE [--check] [--json]',
  help: `
The whole file is checked before anything is written. The place must be empty: set WATERSHED_DATA_DIR (or DATABASE_URL and WAREHOUSE_URI)
to a new one. Paths within the tables are written anew for it. The next start makes a new admin token.
  watershed restore lake.tar.zst --check                          only checks the file
  WATERSHED_DATA_DIR=./data-2 watershed restore lake.tar.zst`,
  options: { check: { type: 'boolean' }, json: { type: 'boolean' } },
  async run({ positionals, values, config, signal, out, note, interactive }) {
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new WatershedError('bad_request', 'give one backup', { hint: 'watershed restore FILE' });
    const path = resolve(file);
    if (values['check'] === true) {
      const { members } = await checkArchive(path);
      out(values['json'] === true ? `${JSON.stringify({ file, whole: true, members: members.length })}\n` : `${file} is whole: ${members.length} parts\n`);
      return 0;
    }
    // Also before a database is made in the data folder.
    await checkArchive(path);
    await using lake = await openLakeParts(config);
    if (lake.running) {
      throw new WatershedError('already_exists', `a Watershed runs on the data folder ${lake.dataDir}`, {
        hint: 'restore into a new folder: set WATERSHED_DATA_DIR',
      });
    }
    const about = await restore(path, {
      database: lake.database, store: lake.store, staging: join(lake.dataDir, 'restoring'), signal,
      onProgress: ({ objects, of }) => interactive && process.stderr.write(`\r\u001b[2K${objects} of ${of} objects`),
    });
    if (interactive) note('');
    if (values['json'] === true) out(`${JSON.stringify({ file, createdAt: about.createdAt, objects: about.objects.length, uri: lake.store.uri })}\n`);
    else out(`The lake is as it was at ${about.createdAt}; \`watershed start\` goes on from there.\n`);
    return 0;
  },
};
