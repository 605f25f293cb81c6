import { DuckDBInstance } from '@duckdb/node-api';
import {
  allowedFunctions,
  allowedTableFunctions,
  excludedFunctions,
  excludedTableFunctions,
  whyExcluded,
} from './functions.ts';

let names: { scalar: Set<string>; table: Set<string> };

beforeAll(async () => {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const rows = (
    await connection.runAndReadAll(
      "select distinct lower(function_name), function_type like 'table%' from duckdb_functions() where function_type <> 'pragma'",
    )
  ).getRows();
  const pick = (isTable: boolean): Set<string> =>
    new Set(rows.filter((row) => row[1] === isTable).map((row) => String(row[0])));
  names = { scalar: pick(false), table: pick(true) };
  connection.closeSync();
  instance.closeSync();
});

test('every function of the engine was looked at: it is allowed, or there is a reason why not', () => {
  expect([...names.scalar].filter((name) => !allowedFunctions.has(name) && whyExcluded(name) === undefined)).toEqual(
    [],
  );
  expect(
    [...names.table].filter(
      (name) =>
        !allowedTableFunctions.has(name) &&
        whyExcluded(name) === undefined &&
        !Object.hasOwn(excludedTableFunctions, name),
    ),
  ).toEqual([]);
});

test('nothing is allowed that a reason excludes, and nothing that does not exist', () => {
  const named = new Set(['pg_typeof', 'pg_size_pretty', 'pg_timezone_names']);
  expect(
    [...allowedFunctions, ...allowedTableFunctions].filter(
      (name) => whyExcluded(name) !== undefined && !named.has(name),
    ),
  ).toEqual([]);
  expect([...allowedFunctions].filter((name) => !names.scalar.has(name) && !names.table.has(name))).toEqual([]);
  expect([...allowedTableFunctions].filter((name) => !names.table.has(name))).toEqual([]);
});

test('no reason is kept for a function that is gone', () => {
  const all = [...names.scalar, ...names.table];
  const gone = Object.keys(excludedFunctions).filter(
    (key) => !all.some((name) => (key.endsWith('*') ? name.startsWith(key.slice(0, -1)) : name === key)),
  );
  expect(gone).toEqual([]);
});
