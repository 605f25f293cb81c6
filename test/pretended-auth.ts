import type { Principal } from '#core/auth/access.ts';
import type { Auth } from '#core/auth/auth.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { systemClock } from '#core/clock.ts';

const admin: Principal = { name: 'admin', kind: 'admin', credential: 'a' };
const reader: Principal = { name: 'reader', kind: 'read', credential: 'r' };
export const token = 'the-token-of-this-test';
export const readerToken = 'the-token-of-a-reader';

/** Who may enter, without a database: core/auth has tests of its own. */
export function pretendedAuth(): Auth {
  const codes = new Set(['a-code']);
  const cookies = new Set<string>();
  return {
    tokens: {
      verify: async (given) => (given === token ? admin : given === readerToken ? reader : undefined),
      create: async () => '',
      list: async () => [],
      revoke: async () => undefined,
      wireLogin: async () => undefined,
    },
    slowdown: createSlowdown(systemClock),
    codes: {
      async create() {
        codes.add('another');
        return 'another';
      },
      async spend(code) {
        if (!codes.delete(code)) return undefined;
        cookies.add(`cookie-${code}`);
        return `cookie-${code}`;
      },
    },
    sessions: {
      verify: async (cookie) => (cookies.has(cookie) ? admin : undefined),
      end: async (cookie) => void cookies.delete(cookie),
    },
  };
}
