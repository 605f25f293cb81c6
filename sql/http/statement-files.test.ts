import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '#core/logger.ts';
import { keepInfo, restoreStatements, rowsPath } from './statement-files.ts';
import type { StatementInfo } from './statements.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'statements-'));
});
afterEach(async () => await rm(folder, { recursive: true, force: true }));

const nowMs = Date.parse('2026-01-01T12:00:00Z');
const info = (id: string, more: Partial<StatementInfo>): StatementInfo => ({
  id,
  sql: 'SELECT 1',
  user: 'ann',
  format: 'json',
  status: 'done',
  startedAt: '2026-01-01T11:00:00.000Z',
  elapsedMs: 5,
  ...more,
});

test('only what is still wanted is there after a restart', async () => {
  await keepInfo(folder, info('fresh', { expiresAt: '2026-01-01T12:30:00.000Z' }));
  await keepInfo(folder, info('old', { expiresAt: '2026-01-01T11:59:59.000Z' }));
  await keepInfo(folder, info('ran', { status: 'running', percent: 50 }));
  for (const id of ['fresh', 'old', 'ran', 'orphan']) await writeFile(rowsPath(folder, id), '[]');
  await writeFile(join(folder, 'torn.json'), '{"id": "torn", "us');
  await writeFile(join(folder, 'fresh.json.new'), '{');
  const kept = await restoreStatements(folder, nowMs, silentLogger);
  expect(kept.map(({ id, status }) => [id, status]).toSorted()).toEqual([
    ['fresh', 'done'],
    ['ran', 'failed'],
  ]);
  expect(kept.find(({ id }) => id === 'ran')).toMatchObject({
    error: { code: 'unavailable', status: 503 },
    expiresAt: '2026-01-01T13:00:00.000Z',
  });
  expect((await readdir(folder)).toSorted()).toEqual(['fresh', 'fresh.json', 'ran.json']);
  // A second restart says the same.
  expect((await restoreStatements(folder, nowMs, silentLogger)).length).toBe(2);
});
