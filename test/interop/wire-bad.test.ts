import fc from 'fast-check';
import { type Door, startDoor, token } from './door.ts';
import { fieldsOf, frontend, RawClient, type ServerMessage, shown } from './raw-client.ts';

let door: Door;
const clients: RawClient[] = [];

beforeAll(async () => { door = await startDoor(); });
afterAll(() => door[Symbol.asyncDispose]());
afterEach(() => { for (const client of clients.splice(0)) client.close(); });

const client = (): RawClient => {
  const made = new RawClient(door.port);
  clients.push(made);
  return made;
};
async function loggedIn(version?: number, more?: Record<string, string>): Promise<RawClient> {
  const made = client();
  await made.logIn('analyst', token, version, more);
  return made;
}
async function ask(on: RawClient, ...messages: Buffer[]): Promise<string[]> {
  on.send(...messages);
  return shown(await on.through('Z'));
}

// An hour of work for the engine, were it not stopped.
const endless = 'select count(*) from posts a, posts b, posts c, posts d where a.log_offset + b.log_offset + c.log_offset = d.log_offset * 7';

const value = (name: string, labels = {}): Promise<number | undefined> => door.metrics.value(name, labels);

describe('stopping', () => {
  test('a cancel request with the right key stops the statement, with a wrong one nothing', async () => {
    for (const version of [196608, 196610]) {
      const raw = await loggedIn(version);
      raw.send(frontend.query(endless));
      const wrong = client();
      wrong.send(frontend.cancel(raw.pid, Buffer.alloc(raw.key.length, 7)));
      await wrong.closed();
      const right = client();
      right.send(frontend.cancel(raw.pid, raw.key));
      await right.closed();
      expect(shown(await raw.through('Z'))).toEqual(['E 57014', 'Z I']);
      expect(await ask(raw, frontend.query('select 1'))).toEqual(['T', 'D 1', 'C SELECT 1', 'Z I']);
    }
  });

  test('statement_timeout of the session holds', async () => {
    const raw = await loggedIn();
    expect((await ask(raw, frontend.query(`set statement_timeout = '300ms'; ${endless}`))).slice(0, 2)).toEqual(['C SET', 'E 57014']);
  });

  test('a client that is gone stops its statement and frees the engine', async () => {
    const before = await value('watershed_pgwire_statements_total', { outcome: 'cancelled' }) ?? 0;
    for (let index = 0; index < 4; index++) {
      const raw = await loggedIn();
      raw.send(frontend.query(endless));
      raw.close();
    }
    // Two children, four endless statements: this answer would not come before an hour.
    expect(await ask(await loggedIn(), frontend.query('select count(*) from posts'))).toEqual(['T', 'D 5000', 'C SELECT 1', 'Z I']);
    while ((await value('watershed_pgwire_statements_total', { outcome: 'cancelled' }) ?? 0) < before + 4) await new Promise(setImmediate);
  }, 120_000);

  test('a client that does not read holds the engine back, not our memory', async () => {
    const raw = await loggedIn();
    raw.socket.pause();
    raw.send(frontend.query('select a.text from posts a, posts b limit 5000000'));
    const before = process.memoryUsage().rss;
    const busy = await loggedIn();
    for (let index = 0; index < 20; index++) await ask(busy, frontend.query('select count(*) from posts'));
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 ** 2);
    raw.close();
  }, 120_000);

  test('a revoked token ends its connections', async () => {
    await using other = await startDoor({ clock: { ...(await import('#core/clock.ts')).systemClock, monotonic: () => (steps += 6000) } });
    const raw = new RawClient(other.port);
    clients.push(raw);
    await raw.logIn('analyst', token);
    expect(await ask(raw, frontend.query('select 1'))).toContain('D 1');
    other.revoke();
    raw.send(frontend.query('select 1'), frontend.query('select 2'), frontend.query('select 3'));
    expect(shown(await raw.through('nothing')).at(-1)).toBe('E 57P01');
  }, 120_000);
  let steps = 0;

  test('idle clients are told when the server stops, and one too many at once', async () => {
    const other = await startDoor({ connectionsMax: 2, children: 1 });
    const pair = [new RawClient(other.port), new RawClient(other.port)];
    for (const raw of pair) await raw.logIn('analyst', token);
    const third = new RawClient(other.port);
    expect(fieldsOf((await third.logIn('analyst', token)).at(-1))['C']).toBe('53300');
    pair[0]?.send(frontend.query('select 1; select count(*) from posts a, posts b where a.log_offset = b.log_offset'));
    expect(shown(await (pair[0] as RawClient).through('C'))).toEqual(['T', 'D 1', 'C SELECT 1']);
    const stopped = other[Symbol.asyncDispose]();
    expect(shown(await (pair[1] as RawClient).through('E'))).toEqual(['E 57P01']);
    expect(shown(await (pair[0] as RawClient).through('E'))).toEqual(['T', 'D 5000', 'C SELECT 1', 'Z I', 'E 57P01']);
    await stopped;
    third.close();
  }, 120_000);
});

describe('many and bad', () => {
  test('a hundred idle connections cost little and hinder nobody', async () => {
    const before = process.memoryUsage().heapUsed;
    const idle = await Promise.all(Array.from({ length: 100 }, () => loggedIn()));
    expect(await ask(await loggedIn(), frontend.query('select 1'))).toEqual(['T', 'D 1', 'C SELECT 1', 'Z I']);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 200_000);
    expect(await value('watershed_pgwire_open_connections')).toBeGreaterThanOrEqual(101);
    for (const raw of idle) raw.close();
    while ((await value('watershed_pgwire_open_connections') ?? 0) > 2) await new Promise(setImmediate);
  }, 120_000);

  test('noise before login: refused or ignored, and the door stays open', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const raw = new RawClient(door.port);
      raw.send(Buffer.from(bytes));
      raw.socket.end();
      await raw.closed();
    }), { numRuns: 150 });
    expect(await ask(await loggedIn(), frontend.query('select 1'))).toContain('D 1');
  }, 120_000);

  test('noise after login: each series ends in ReadyForQuery or a closed connection', async () => {
    const sql = fc.constantFrom('select 1', 'begin', 'selec', '', 'fetch 1 from c', 'commit', 'copy (select 1) to stdout', 'show all', `select '`);
    const name = fc.constantFrom('', 'a', 'b');
    const message = fc.oneof(
      sql.map(frontend.query), fc.tuple(name, sql).map(([as, text]) => frontend.parse(as, text)), fc.tuple(name, name).map(([portal, statement]) => frontend.bind(portal, statement)),
      fc.tuple(fc.constantFrom('S' as const, 'P' as const), name).map(([kind, which]) => frontend.describe(kind, which)), fc.tuple(name, fc.nat(3)).map(([portal, rows]) => frontend.execute(portal, rows)),
      fc.tuple(fc.constantFrom('S' as const, 'P' as const), name).map(([kind, which]) => frontend.close(kind, which)),
      fc.tuple(fc.constantFrom(...'QPBDECHpdcfF'), fc.uint8Array({ maxLength: 30 })).map(([tag, body]) => frontend.frame(tag, Buffer.from(body))),
      fc.constant(frontend.sync()), fc.constant(frontend.flush()),
    );
    await fc.assert(fc.asyncProperty(fc.array(message, { maxLength: 10 }), async (messages) => {
      const raw = await loggedIn();
      raw.send(...messages, frontend.sync(), frontend.query('rollback; select 7'));
      let seen: ServerMessage[] = [];
      while (!shown(seen).includes('D 7')) {
        seen = await raw.through('Z');
        expect(seen.at(-1)?.tag).toBe('Z');
      }
      raw.close();
    }), { numRuns: 60 });
  }, 120_000);

  test('a message larger than the limit is refused by its header alone', async () => {
    const raw = await loggedIn();
    raw.send(Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]));
    expect(fieldsOf(await raw.next())).toMatchObject({ S: 'FATAL', C: '08P01' });
    await raw.closed();
  });

  test('a cut result is told', async () => {
    await using other = await startDoor({ limits: { timeoutMs: 10_000, rowsMax: 10, bytesMax: 1e9 }, children: 1 });
    const raw = new RawClient(other.port);
    clients.push(raw);
    await raw.logIn('analyst', token);
    expect((await ask(raw, frontend.query('select log_offset from posts'))).slice(-3)).toEqual(['N 01000', 'C SELECT 10', 'Z I']);
  }, 120_000);
});
