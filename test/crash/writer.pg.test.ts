import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { appendPosts, dieAtEveryPoint, expectEachOnce, finish, openGround } from './ground.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);

afterAll(async () => {
  await postgres.stop();
});

test.each([1, 2, 3])('killed at every crash point in turn, each record has one fate (seed %i)', async (seed) => {
  await using ground = await openGround({ database: await postgres.createDatabase() });
  const appended = await appendPosts(ground.log, seed);
  await dieAtEveryPoint(ground, seed);
  await expectEachOnce(ground, appended);
}, 240_000);

test('two writers at once: the one whose lease was taken is fenced, nothing is lost or doubled', async () => {
  await using ground = await openGround({ database: await postgres.createDatabase() });
  const appended = await appendPosts(ground.log, 9);
  const first = ground.writer('placed', 1, 'tell');
  await first.reached;
  // The second takes the lease by force while the first is at work: its next commit must find a newer epoch.
  await ground.database.execute("update watershed.lease set expires_at = now() - interval '1 hour'");
  const second = ground.writer();
  const exits = await Promise.all([first.ended, second.ended]);
  if (!exits.includes(0)) await finish(ground);
  await expectEachOnce(ground, appended);
}, 120_000);
