import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { type Codes, type Sessions, openCodes, openSessions } from './codes.ts';
import { createSlowdown, type Slowdown } from './slowdown.ts';
import { type Tokens, openTokens } from './tokens.ts';

/** Everything the doors need to know who somebody is; what they may is `can` of access.ts. */
export interface Auth {
  readonly tokens: Tokens;
  readonly codes: Codes;
  readonly sessions: Sessions;
  /** One for all doors, so that guessing at one counts at all. */
  readonly slowdown: Slowdown;
}

export function openAuth(options: { database: Database; adminToken: string; clock: Clock }): Auth {
  const { database, adminToken } = options;
  const slowdown = createSlowdown(options.clock);
  return {
    tokens: openTokens({ database, adminToken, slowdown }),
    codes: openCodes({ database, slowdown }),
    sessions: openSessions({ database, adminToken }),
    slowdown,
  };
}
