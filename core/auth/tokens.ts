import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import type { Database } from '../database/database.ts';
import { WatershedError, isWatershedError } from '../errors.ts';
import { keptSecret, newSecret, readSecret } from '../secrets.ts';
import type { Principal } from './access.ts';
import { type ScramVerifier, scramVerifier } from './scram.ts';
import type { Slowdown } from './slowdown.ts';

interface TokenInfo {
  readonly name: string;
  readonly kind: 'admin' | 'read';
  readonly createdAt: string;
  readonly createdBy: string;
  readonly revokedAt: string | undefined;
}

export interface Tokens {
  /**
   * Makes a named token and returns it: the only time that anybody sees it. `already_exists`, `bad_request` (the
   * name).
   */
  create(name: string, kind: 'admin' | 'read', by: Principal): Promise<string>;
  /** All of them, also the revoked ones. The admin token of the data folder is not among them. */
  list(): Promise<TokenInfo[]>;
  /** From now on it opens nothing, nor do the sessions and codes that it vouched for. `not_found`. */
  revoke(name: string): Promise<void>;
  /** Whose token it is; undefined for a wrong one, and that later with every try from the same address. */
  verify(token: string, address: string): Promise<Principal | undefined>;
  /**
   * For the Postgres wire: how the password of this user is checked, and who it is then. Undefined for an unknown
   * one.
   */
  wireLogin(user: string): Promise<{ principal: Principal; verifier: ScramVerifier } | undefined>;
}

/** The names by which the admin token is used on the wire; the second one may no more there than read. */
const adminNames: ReadonlyMap<string, 'admin' | 'read'> = new Map([
  ['admin', 'admin'],
  ['analyst', 'read'],
]);
const uniqueViolation = 'token_name';

/** The admin token of a data folder: the given one, else that of `<dataDir>/admin.token`, made by the first start. */
export async function adminToken(dataDir: string, given: string | undefined): Promise<string> {
  return given ?? keptSecret(join(dataDir, 'admin.token'));
}

/** For the command line: the admin token where there is one, without making it. */
export async function findAdminToken(dataDir: string, given: string | undefined): Promise<string | undefined> {
  return given ?? readSecret(join(dataDir, 'admin.token'));
}

export function openTokens(options: { database: Database; adminToken: string; slowdown: Slowdown }): Tokens {
  const { database, slowdown } = options;
  const adminHash = hashSecret(options.adminToken);
  const adminCredential = adminHash.toString('hex');
  let adminVerifier: Promise<ScramVerifier> | undefined;
  const lookUp = async (token: string): Promise<Principal | undefined> => {
    const hash = hashSecret(token);
    if (timingSafeEqual(hash, adminHash)) return { name: 'admin', kind: 'admin', credential: adminCredential };
    const [row] = await database.query<{ name: string; kind: 'admin' | 'read' }>(
      'select name, kind from watershed.token where hash = $1 and revoked_at is null',
      [hash],
    );
    return row && { ...row, credential: hash.toString('hex') };
  };
  return {
    create: (name, kind, by) => createToken(database, name, kind, by),
    list: () => listTokens(database),
    async revoke(name) {
      const revoked = await database.execute(
        'update watershed.token set revoked_at = now() where name = $1 and revoked_at is null',
        [name],
      );
      if (revoked === 0) throw new WatershedError('not_found', `there is no token named ${name}`);
    },
    async verify(token, address) {
      const principal = await lookUp(token);
      if (principal === undefined) await slowdown.failed(address);
      else slowdown.succeeded(address);
      return principal;
    },
    async wireLogin(user) {
      const kind = adminNames.get(user);
      if (kind === undefined) return namedLogin(database, user);
      // A salt that every process finds alike, for clients that keep keys by salt, and that tells nothing of the token.
      const salt = createHmac('sha256', adminHash).update('scram salt').digest().subarray(0, 16);
      adminVerifier ??= scramVerifier(options.adminToken, salt);
      return { principal: { name: user, kind, credential: adminCredential }, verifier: await adminVerifier };
    },
  };
}

/** Secrets of 256 random bits need no slow hash: nobody guesses them (NIST SP 800-63B, section 5.1.2.2). */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

async function createToken(database: Database, name: string, kind: 'admin' | 'read', by: Principal): Promise<string> {
  if (!/^[a-z][a-z0-9_-]{0,62}$/.test(name)) {
    throw new WatershedError('bad_request', `a token cannot be named ${JSON.stringify(name)}`, {
      hint: 'small letters, digits, - and _, at most 63, beginning with a letter: it is the user on the Postgres wire',
    });
  }
  if (adminNames.has(name))
    throw new WatershedError('bad_request', `${name} is the name of the admin token`, { hint: 'choose another name' });
  const token = `ws_${newSecret()}`;
  const { salt, iterations, storedKey, serverKey } = await scramVerifier(token);
  try {
    await database.execute(
      `insert into watershed.token
         (name, kind, hash, scram_salt, scram_iterations, scram_stored_key, scram_server_key, created_by)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [name, kind, hashSecret(token), salt, iterations, storedKey, serverKey, by.name],
    );
  } catch (error) {
    if (!isWatershedError(error, 'already_exists') || error.context['constraint'] !== uniqueViolation) throw error;
    throw new WatershedError('already_exists', `there is a token named ${name} already`, {
      cause: error,
      hint: 'revoke it first, or choose another name',
    });
  }
  return token;
}

async function listTokens(database: Database): Promise<TokenInfo[]> {
  const rows = await database.query<{
    name: string;
    kind: 'admin' | 'read';
    created_at: Date;
    created_by: string;
    revoked_at: Date | null;
  }>('select name, kind, created_at, created_by, revoked_at from watershed.token order by created_at, id');
  return rows.map((row) => ({
    name: row.name,
    kind: row.kind,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    revokedAt: row.revoked_at?.toISOString(),
  }));
}

async function namedLogin(
  database: Database,
  user: string,
): Promise<{ principal: Principal; verifier: ScramVerifier } | undefined> {
  const [row] = await database.query<{
    name: string;
    kind: 'admin' | 'read';
    hash: Buffer;
    scram_salt: Buffer;
    scram_iterations: number;
    scram_stored_key: Buffer;
    scram_server_key: Buffer;
  }>('select * from watershed.token where name = $1 and revoked_at is null', [user]);
  if (row === undefined) return undefined;
  return {
    principal: { name: row.name, kind: row.kind, credential: row.hash.toString('hex') },
    verifier: {
      salt: row.scram_salt,
      iterations: row.scram_iterations,
      storedKey: row.scram_stored_key,
      serverKey: row.scram_server_key,
    },
  };
}
