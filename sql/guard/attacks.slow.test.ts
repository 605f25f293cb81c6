import { isWatershedError } from '#core/errors.ts';
import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '../engine/engine.ts';
import { readAttacks } from './testdata/attacks.ts';

const limits = { timeoutMs: 3000, rowsMax: 1e9, bytesMax: 64 * 2 ** 20 };
let lake: SqlLake;
let engine: Engine;

beforeAll(async () => {
  lake = await sqlLake();
  engine = lake.engine({ children: 2, memoryBytes: 64 * 2 ** 20 });
});

afterAll(async () => await lake[Symbol.asyncDispose]());

test.each(
  readAttacks('')
    .filter(({ effect }) => effect === 'spends')
    .map(({ sql }) => sql),
)(
  '%s ends at a limit',
  async (sql) => {
    const answers: unknown[] = [];
    const bomb = ask(engine, sql, [], { limits, encoding: 'ndjson' }).then(
      () => 'answered',
      (error: unknown) => error,
    );
    // Meanwhile others are answered.
    for (let index = 0; index < 5; index++)
      answers.push((await ask(engine, `SELECT ${index}`, [], { user: 'other' })).rows[0]?.[0]);
    const error = await bomb;
    expect(isWatershedError(error, 'limit_exceeded') ? 'limit_exceeded' : error).toBe('limit_exceeded');
    expect(answers).toEqual([0, 1, 2, 3, 4]);
  },
  20_000,
);
