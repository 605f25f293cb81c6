import fc from 'fast-check';
import { type Door, startDoor, token } from './door.ts';
import { fieldsOf, frontend, RawClient, shown } from './raw-client.ts';

let door: Door;
const clients: RawClient[] = [];
beforeAll(async () => { door = await startDoor(); }, 120_000);
afterAll(() => door[Symbol.asyncDispose]());
afterEach(() => { for (const client of clients.splice(0)) client.close(); });

const client = (): RawClient => {
  const made = new RawClient(door.port);
  clients.push(made);
  return made;
};
async function loggedIn(): Promise<RawClient> {
  const made = client();
  await made.logIn('analyst', token);
  return made;
}
const open = (): Promise<number | undefined> => door.metrics.value('watershed_pgwire_open_connections');
async function allGone(): Promise<void> {
  for (const each of clients.splice(0)) each.close();
  while ((await open() ?? 0) > 0) await new Promise(setImmediate);
}

// Right up to a point, then one byte is another, a piece is missing, or one comes twice.
const good = [
  frontend.parse('a', 'select log_offset, text from posts where log_offset < $1'), frontend.describe('S', 'a'), frontend.bind('p', 'a', ['20'], [1, 0]), frontend.describe('P', 'p'),
  frontend.execute('p', 5), frontend.flush(), frontend.execute('p', 0), frontend.sync(), frontend.query('begin; declare c cursor for select 1; fetch 1 from c'),
  frontend.parse('', 'copy (select 1, 2) to stdout (format csv)'), frontend.bind('', ''), frontend.execute(''), frontend.close('S', 'a'), frontend.sync(), frontend.query('rollback'),
];
const whole = Buffer.concat(good);

test('a stream of good messages, broken somewhere: it goes on, or is told and closed; nothing stays behind', async () => {
  const place = fc.nat(whole.length - 1);
  const broken = fc.oneof(
    fc.tuple(place, fc.integer({ min: 0, max: 255 })).map(([at, byte]) => Buffer.concat([whole.subarray(0, at), Buffer.from([byte]), whole.subarray(at + 1)])),
    fc.tuple(place, fc.nat(40)).map(([at, length]) => Buffer.concat([whole.subarray(0, at), whole.subarray(at + length)])),
    fc.tuple(place, fc.nat(40)).map(([at, length]) => Buffer.concat([whole.subarray(0, at + length), whole.subarray(at)])),
    fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 12 })).map(([at, noise]) => Buffer.concat([whole.subarray(0, at), Buffer.from(noise), whole.subarray(at)])),
  );
  await fc.assert(fc.asyncProperty(broken, async (bytes) => {
    const raw = await loggedIn();
    raw.send(bytes);
    // The end of what the client has to say: whatever half a message is left, the door must not wait for ever.
    raw.socket.end();
    await raw.closed();
  }), { numRuns: 80 });
  await allGone();
  const raw = await loggedIn();
  raw.send(frontend.query('select 7'));
  expect(shown(await raw.through('Z'))).toContain('D 7');
  expect(await door.metrics.value('watershed_pgwire_statements_total', { outcome: 'ok' })).toBeGreaterThan(0);
}, 120_000);

test.each([[0], [1], [4], [7], [10_001], [0x7fff_ffff], [-1], [-2_147_483_648]])('a startup packet that says it has %d bytes is refused at once', async (length) => {
  const raw = client();
  const bytes = Buffer.alloc(8);
  bytes.writeInt32BE(length, 0);
  bytes.writeInt32BE(196_608, 4);
  raw.send(bytes);
  await raw.closed();
});

test.each([
  ['a startup packet without its last zero', Buffer.concat([Buffer.from([0, 0, 0, 12]), Buffer.from([0, 3, 0, 0]), Buffer.from('user')])],
  ['a name without a value', frontend.startup(196_608, {}).fill(0x61, 8)],
  ['version 2', frontend.startup(131_072, { user: 'analyst' })],
  ['version 4', frontend.startup(262_144, { user: 'analyst' })],
  ['a query before the login', frontend.query('select 1')],
  ['a cancel request of a wrong length', Buffer.concat([Buffer.from([0, 0, 0, 9]), Buffer.from([0x04, 0xd2, 0x16, 0x2e, 0])])],
  ['a cancel request with a key of 1,000 bytes', frontend.cancel(1, Buffer.alloc(1000))],
])('%s ends the connection', async (_, bytes) => {
  const raw = client();
  raw.send(bytes);
  await raw.closed();
});

test('a client that stays silent after half a login blocks nobody', async () => {
  const half = client();
  half.send(frontend.startup(196_608, { user: 'analyst' }).subarray(0, 10));
  const raw = await loggedIn();
  raw.send(frontend.query('select 1'));
  expect(shown(await raw.through('Z'))).toContain('D 1');
});

test('two hundred clients are in at once and each is answered; the next is told that there is no room', async () => {
  await allGone();
  const all = await Promise.all(Array.from({ length: 200 }, () => loggedIn()));
  const extra = client();
  expect(fieldsOf(await extra.next())).toMatchObject({ S: 'FATAL', C: '53300' });
  for (const raw of all) raw.send(frontend.query('show application_name'));
  const answers = await Promise.all(all.map(async (raw) => shown(await raw.through('Z')).at(-1)));
  expect(new Set(answers)).toEqual(new Set(['Z I']));
  await allGone();
}, 120_000);

test('wrong passwords take longer each time, and the right one is not kept waiting', async () => {
  const startedAt = performance.now();
  for (let attempt = 0; attempt < 4; attempt++) {
    const raw = client();
    const seen = await raw.logIn('analyst', 'wrong-token-of-twenty-characters');
    expect(fieldsOf(seen.at(-1))).toMatchObject({ C: '28P01' });
  }
  // 100, 200, 400 and 800 milliseconds: never less, whatever the machine does.
  expect(performance.now() - startedAt).toBeGreaterThan(1490);
  expect(shown(await client().logIn('analyst', token)).at(-1)).toBe('Z I');
}, 120_000);
