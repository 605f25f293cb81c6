import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestPostgres, startPostgres } from '#test/services/postgres.ts';
import pg from 'pg';
import { type ManualClock, manualClock } from '../clock.ts';
import { type Database, openDatabase } from '../database/database.ts';
import { migrate } from '../database/migrate.ts';
import type { Principal } from './access.ts';
import { type Auth, openAuth } from './auth.ts';
import { adminToken, findAdminToken } from './tokens.ts';

const admin = 'the-admin-token-of-this-test';
const address = '192.0.2.1';

let server: TestPostgres;
let url: string;
let database: Database;
let clock: ManualClock;
let auth: Auth;
let root: Principal;
beforeAll(async () => {
  server = await startPostgres();
}, 30_000);
beforeEach(async () => {
  url = await server.createDatabase();
  database = openDatabase(url, { max: 4 });
  await migrate(database);
  clock = manualClock();
  auth = openAuth({ database, adminToken: admin, clock });
  const principal = await auth.tokens.verify(admin, address);
  if (principal === undefined) throw new Error('the admin token is not known');
  root = principal;
});
afterEach(() => database[Symbol.asyncDispose]());
afterAll(() => server.stop());

/** What a refused one gets, once the clock has let it through. */
async function late<Result>(answer: Promise<Result>): Promise<Result> {
  await database.query('select 1');
  let settled = false;
  const done = answer.finally(() => {
    settled = true;
  });
  while (!settled) {
    await clock.advance(1000);
    await database.query('select 1');
  }
  return done;
}

describe('tokens', () => {
  test("the admin token is the administrator's", () => {
    expect(root).toMatchObject({ name: 'admin', kind: 'admin' });
  });

  test('a named token opens what its kind says, until it is revoked', async () => {
    const token = await auth.tokens.create('grafana', 'read', root);
    expect(token).toMatch(/^ws_[A-Za-z0-9_-]{43}$/);
    expect(await auth.tokens.verify(token, address)).toMatchObject({ name: 'grafana', kind: 'read' });
    await auth.tokens.revoke('grafana');
    expect(await late(auth.tokens.verify(token, address))).toBeUndefined();
    await expect(auth.tokens.revoke('grafana')).rejects.toMatchObject({ code: 'not_found' });
    const again = await auth.tokens.create('grafana', 'admin', root);
    expect(await auth.tokens.verify(again, address)).toMatchObject({ name: 'grafana', kind: 'admin' });
    expect(await auth.tokens.list()).toEqual([
      {
        name: 'grafana',
        kind: 'read',
        createdBy: 'admin',
        createdAt: expect.any(String),
        revokedAt: expect.any(String),
      },
      { name: 'grafana', kind: 'admin', createdBy: 'admin', createdAt: expect.any(String), revokedAt: undefined },
    ]);
  });

  test('what was almost right is wrong', async () => {
    const token = await auth.tokens.create('grafana', 'read', root);
    for (const wrong of [
      '',
      ' ',
      admin.slice(1),
      `${admin} `,
      token.slice(0, -1),
      token.toUpperCase(),
      'grafana',
      '\0',
      'é'.repeat(30),
    ]) {
      expect(await late(auth.tokens.verify(wrong, address))).toBeUndefined();
    }
  });

  test('a name is used once, and is none of those that mean the admin token', async () => {
    await auth.tokens.create('grafana', 'read', root);
    await expect(auth.tokens.create('grafana', 'read', root)).rejects.toMatchObject({
      code: 'already_exists',
      hint: expect.stringContaining('revoke'),
    });
    for (const name of ['admin', 'analyst', '', 'Grafana', '1st', 'a b', 'a'.repeat(64), 'ü']) {
      await expect(auth.tokens.create(name, 'read', root)).rejects.toMatchObject({ code: 'bad_request' });
    }
  });

  test('the database holds neither tokens nor codes nor cookies', async () => {
    const token = await auth.tokens.create('grafana', 'read', root);
    const code = await auth.codes.create(root);
    const cookie = (await auth.codes.spend(await auth.codes.create(root), address)) ?? '';
    const rows = await database.query<{ line: string }>(
      `select t::text as line from watershed.token t
       union all select c::text from watershed.login_code c union all select s::text from watershed.session s`,
    );
    const all = rows.map(({ line }) => line).join('\n');
    expect(rows).toHaveLength(3);
    for (const secret of [admin, token, code, cookie]) {
      expect(all).not.toContain(secret);
      expect(all).not.toContain(Buffer.from(secret).toString('hex'));
    }
  });

  test('who is wrong waits, who is right does not', async () => {
    let answered = false;
    const wrong = auth.tokens.verify('wrong', address).finally(() => {
      answered = true;
    });
    expect(await auth.tokens.verify(admin, address)).toEqual(root);
    expect(answered).toBe(false);
    expect(await late(wrong)).toBeUndefined();
  });

  test('a flood of wrong tries at once is cut off', async () => {
    let refused = 0;
    const tries = Array.from({ length: 40 }, (_, number) =>
      auth.tokens.verify(`wrong ${number}`, address).catch((error: unknown) => {
        refused++;
        return error;
      }),
    );
    while (refused < 20) await database.query('select 1');
    const results = await late(Promise.all(tries));
    expect(results.filter((result) => result === undefined)).toHaveLength(20);
    expect(results.find((result) => result !== undefined)).toMatchObject({ code: 'rate_limited' });
    expect(await auth.tokens.verify(admin, address)).toEqual(root);
  });
});

describe('the wire', () => {
  // PostgreSQL itself checks our verifiers: it stores a password given in this form as it is (manual, section 54.10).
  async function logsIn(user: string, password: string): Promise<boolean> {
    const login = await auth.tokens.wireLogin(user);
    if (login === undefined) return false;
    const { salt, iterations, storedKey, serverKey } = login.verifier;
    const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    const secret = `SCRAM-SHA-256$${iterations}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`;
    await database.execute(`drop role if exists tried; create role tried login password '${secret}'`);
    const address = new URL(url);
    address.username = 'tried';
    address.password = password;
    const client = new pg.Client({ connectionString: address.href });
    return client.connect().then(
      () => client.end().then(() => true),
      () => false,
    );
  }

  test('PostgreSQL takes a token by its verifier, and no other password', async () => {
    const token = await auth.tokens.create('metabase', 'read', root);
    expect(await logsIn('metabase', token)).toBe(true);
    expect(await logsIn('metabase', `${token}x`)).toBe(false);
    expect(await logsIn('admin', admin)).toBe(true);
    expect(await logsIn('admin', token)).toBe(false);
  });

  test("a user is a token's name; analyst is the admin token with less in hand", async () => {
    const token = await auth.tokens.create('metabase', 'read', root);
    expect((await auth.tokens.wireLogin('metabase'))?.principal).toEqual(await auth.tokens.verify(token, address));
    expect((await auth.tokens.wireLogin('admin'))?.principal).toEqual(root);
    expect((await auth.tokens.wireLogin('analyst'))?.principal).toMatchObject({ name: 'analyst', kind: 'read' });
    expect(await auth.tokens.wireLogin('nobody')).toBeUndefined();
    await auth.tokens.revoke('metabase');
    expect(await auth.tokens.wireLogin('metabase')).toBeUndefined();
  });
});

describe('codes and sessions', () => {
  test('a code becomes one session, once, also when two come at once', async () => {
    const code = await auth.codes.create(root);
    const [one, two] = await late(Promise.all([auth.codes.spend(code, address), auth.codes.spend(code, '192.0.2.9')]));
    const cookie = one ?? two;
    expect([one, two].filter((value) => value !== undefined)).toHaveLength(1);
    expect(await auth.sessions.verify(cookie ?? '')).toEqual(root);
    expect(await late(auth.codes.spend(code, address))).toBeUndefined();
  });

  test('a code of another process is as good', async () => {
    await using other = openDatabase(url, { max: 1 });
    const code = await openAuth({ database: other, adminToken: admin, clock }).codes.create(root);
    const cookie = await auth.codes.spend(code, address);
    expect(await openAuth({ database: other, adminToken: admin, clock }).sessions.verify(cookie ?? '')).toEqual(root);
  });

  test('codes grow old in an hour, sessions in thirty days', async () => {
    const age = (table: string, interval: string): Promise<number> =>
      database.execute(`update watershed.${table} set expires_at = expires_at - interval '${interval}'`);
    const code = await auth.codes.create(root);
    await age('login_code', '59 minutes');
    const cookie = (await auth.codes.spend(code, address)) ?? '';
    const second = await auth.codes.create(root);
    await age('login_code', '61 minutes');
    expect(await late(auth.codes.spend(second, address))).toBeUndefined();
    await age('session', '29 days');
    expect(await auth.sessions.verify(cookie)).toEqual(root);
    await age('session', '2 days');
    expect(await auth.sessions.verify(cookie)).toBeUndefined();
  });

  test('a session ends when it is ended, and with the token behind it', async () => {
    const open = async (principal: Principal): Promise<string> =>
      (await auth.codes.spend(await auth.codes.create(principal), address)) ?? '';
    const ended = await open(root);
    await auth.sessions.end(ended);
    expect(await auth.sessions.verify(ended)).toBeUndefined();

    const reader = await auth.tokens.verify(await auth.tokens.create('grafana', 'read', root), address);
    const cookie = await open(reader ?? root);
    expect(await auth.sessions.verify(cookie)).toMatchObject({ name: 'grafana', kind: 'read' });
    await auth.tokens.revoke('grafana');
    expect(await auth.sessions.verify(cookie)).toBeUndefined();

    const adminCookie = await open(root);
    const changed = openAuth({ database, adminToken: 'another-admin-token-now', clock });
    expect(await changed.sessions.verify(adminCookie)).toBeUndefined();
    expect(await auth.sessions.verify(adminCookie)).toEqual(root);
  });

  test('what is no cookie is no session', async () => {
    for (const wrong of ['', 'x', admin, '\0']) expect(await auth.sessions.verify(wrong)).toBeUndefined();
  });
});

describe("the admin token's file", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'watershed-auth-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('is made once, for the owner only, and found again', async () => {
    expect(await findAdminToken(folder, undefined)).toBeUndefined();
    const made = await adminToken(folder, undefined);
    expect(made).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await adminToken(folder, undefined)).toBe(made);
    expect(await findAdminToken(folder, undefined)).toBe(made);
    const path = join(folder, 'admin.token');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readFile(path, 'utf8')).trim()).toBe(made);
  });

  test('is not made where a token is given', async () => {
    expect(await adminToken(folder, 'given-by-the-environment')).toBe('given-by-the-environment');
    await expect(stat(join(folder, 'admin.token'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('is refused when it is empty', async () => {
    await writeFile(join(folder, 'admin.token'), '\n');
    await expect(adminToken(folder, undefined)).rejects.toMatchObject({ code: 'bad_config' });
  });
});
