import type { Database, Sql } from '../database/database.ts';
import { newSecret } from '../secrets.ts';
import type { Principal } from './access.ts';
import type { Slowdown } from './slowdown.ts';
import { hashSecret } from './tokens.ts';

/**
 * One-time codes, by which a browser gets its session (architecture.md, section 9). They are in the database, so that
 * one process can make a code and another one take it. Only hashes are stored.
 */
export interface Codes {
  /** A code for the bearer of this principal's token, good for an hour and for one use. */
  create(principal: Principal): Promise<string>;
  /** Spends the code: the value of the session's cookie, or undefined for a code that is wrong, spent or too old. */
  spend(code: string, address: string): Promise<string | undefined>;
}

export interface Sessions {
  /** Whose session it is; undefined where it ended, or where the token that vouched for it is no longer valid. */
  verify(cookie: string): Promise<Principal | undefined>;
  end(cookie: string): Promise<void>;
}

/** Seconds, for Max-Age of the cookie. */
export const sessionSeconds = 30 * 24 * 3600;
const codeSeconds = 3600;

export function openCodes(options: { database: Database; slowdown: Slowdown }): Codes {
  const { database, slowdown } = options;
  return {
    async create({ name, kind, credential }) {
      const code = newSecret();
      await database.execute(
        `insert into watershed.login_code (hash, name, kind, issuer, expires_at)
         values ($1, $2, $3, $4, now() + $5 * interval '1 second')`,
        [hashSecret(code), name, kind, Buffer.from(credential, 'hex'), codeSeconds],
      );
      return code;
    },
    async spend(code, address) {
      const cookie = await database.transaction((sql) => spend(sql, code));
      if (cookie === undefined) await slowdown.failed(address);
      else slowdown.succeeded(address);
      return cookie;
    },
  };
}

async function spend(sql: Sql, code: string): Promise<string | undefined> {
  await sql.execute('delete from watershed.login_code where expires_at <= now()');
  await sql.execute('delete from watershed.session where expires_at <= now()');
  const cookie = newSecret();
  // Deleting it is spending it: of two who come at once, one deletes a row.
  const made = await sql.execute(
    `with spent as (delete from watershed.login_code where hash = $1 returning name, kind, issuer)
     insert into watershed.session (hash, name, kind, issuer, expires_at)
     select $2, name, kind, issuer, now() + $3 * interval '1 second' from spent`,
    [hashSecret(code), hashSecret(cookie), sessionSeconds],
  );
  return made === 1 ? cookie : undefined;
}

export function openSessions(options: { database: Database; adminToken: string }): Sessions {
  const { database } = options;
  const adminHash = hashSecret(options.adminToken);
  return {
    async verify(cookie) {
      const [row] = await database.query<{ name: string; kind: 'admin' | 'read'; issuer: Buffer }>(
        `select name, kind, issuer from watershed.session s
          where hash = $1 and expires_at > now()
            and (issuer = $2
                 or exists (select from watershed.token t where t.hash = s.issuer and t.revoked_at is null))`,
        [hashSecret(cookie), adminHash],
      );
      return row && { name: row.name, kind: row.kind, credential: row.issuer.toString('hex') };
    },
    async end(cookie) {
      await database.execute('delete from watershed.session where hash = $1', [hashSecret(cookie)]);
    },
  };
}
