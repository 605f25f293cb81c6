import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { type TestPostgres, startPostgres } from '#test/services/postgres.ts';
import { databasePlaces, placeKey } from './place.ts';

let server: TestPostgres;
beforeAll(async () => { server = await startPostgres(); }, 30_000);
afterAll(() => server.stop());

test('a place is kept per file and event, and forgotten', async () => {
  await using database = openDatabase(await server.createDatabase(), { max: 2 });
  await migrate(database);
  const places = databasePlaces(database);
  expect(await places.find('a')).toBe(0);
  await places.store('a', 5_000_000_000);
  await places.store('b', 1);
  await places.store('a', 6_000_000_000);
  expect([await places.find('a'), await places.find('b')]).toEqual([6_000_000_000, 1]);
  await places.forget('a');
  expect([await places.find('a'), await places.find('b')]).toEqual([0, 1]);
});

test('the key is of what the file holds and the event, not of where it lies', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'watershed-place-'));
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const key = await placeKey(file('a', 'same'), 'flood');
  expect(await placeKey(file('b', 'same'), 'flood')).toBe(key);
  expect(await placeKey(file('c', 'some'), 'flood')).not.toBe(key);
  expect(await placeKey(file('d', 'same and more'), 'flood')).not.toBe(key);
  expect(await placeKey(file('a', 'same'), 'fire')).not.toBe(key);
  rmSync(folder, { recursive: true });
});
