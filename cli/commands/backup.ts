import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { backUp } from '#warehouse/backup/backup.ts';
import type { Command } from '../command.ts';
import { openLakeParts } from '../lake.ts';

export const backupCommand: Command = {
  name: 'backup',
  summary: 'Write database and tables, at one point in time, into one file',
  usage: 'FILE [--json]',
  help: `
Everything may go on running meanwhile. The file is a tar in zstd with a checksum of every part; \`watershed restore\` puts it into an
empty place, which may be another folder, bucket or machine, and a PostgreSQL of another major version. It holds events, tokens (as
hashes), reports and posts, so keep it as you keep the lake. Not in it: the admin token, and a log in Kafka.
  watershed backup lake-2026-11-24.tar.zst`,
  options: { json: { type: 'boolean' } },
  async run({ positionals, values, config, signal, out, note, interactive }) {
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new WatershedError('bad_request', 'give one file to write', { hint: 'watershed backup FILE' });
    if (existsSync(file)) {
      throw new WatershedError('already_exists', `there is a file ${file} already`, { hint: 'name another one, or remove it' });
    }
    await using lake = await openLakeParts(config);
    const about = await backUp(resolve(file), {
      database: lake.database, store: lake.store, clock: systemClock, signal,
      onProgress: ({ objects, of }) => interactive && process.stderr.write(`\r\u001b[2K${objects} of ${of} objects`),
    });
    if (interactive) note('');
    const bytes = about.objects.reduce((sum, object) => sum + object.bytes, 0);
    const rows = about.database.tables.reduce((sum, table) => sum + table.rows, 0);
    if (values['json'] === true) out(`${JSON.stringify({ file, createdAt: about.createdAt, objects: about.objects.length, bytes, rows })}\n`);
    else out(`${file}: ${rows} rows of the database, ${about.objects.length} objects (${bytes} bytes), as of ${about.createdAt}\n`);
    if (about.logKind === 'kafka') note('The log is in Kafka and not in this file: what was in no table yet is there only.');
    return 0;
  },
};
