import { parseCommand, type Command } from './commands.ts';
import { splitStatements } from './lexer.ts';
import { targetOf } from './router.ts';
import { createSettings } from './settings.ts';
import { Transaction } from './transaction.ts';

const parse = (sql: string): Command | undefined => {
  const [statement] = splitStatements(sql);
  if (statement === undefined) throw new Error('no statement');
  return parseCommand(statement);
};

test.each<[string, Partial<Command>]>([
  ['BEGIN', { kind: 'begin', tag: 'BEGIN' }],
  ['begin transaction isolation level serializable read only', { kind: 'begin', tag: 'BEGIN' }],
  ['START TRANSACTION', { kind: 'begin', tag: 'START TRANSACTION' }],
  ['commit and chain', { kind: 'commit', chain: true }],
  ['END', { kind: 'commit', tag: 'COMMIT' }],
  ['rollback to savepoint "A b"', { kind: 'rollbackTo', name: 'A b' }],
  ['ROLLBACK TO a', { kind: 'rollbackTo', name: 'a' }],
  ['release a', { kind: 'release', name: 'a' }],
  [`SET application_name TO 'x y'`, { kind: 'set', name: 'application_name', value: 'x y', local: false }],
  ['set local statement_timeout = 500', { kind: 'set', name: 'statement_timeout', value: '500', local: true }],
  ['SET SESSION extra_float_digits = -3', { kind: 'set', name: 'extra_float_digits', value: '-3' }],
  [`SET DateStyle = ISO, MDY`, { kind: 'set', name: 'datestyle', value: 'iso, mdy' }],
  ['set search_path to "$user", public', { kind: 'set', name: 'search_path', value: '"$user", public' }],
  [`SET TIME ZONE 'UTC'`, { kind: 'set', name: 'timezone', value: 'UTC' }],
  [`SET NAMES 'utf8'`, { kind: 'set', name: 'client_encoding', value: 'utf8' }],
  ['SET my.thing = 1', { kind: 'set', name: 'my.thing', value: '1' }],
  ['set statement_timeout to default', { kind: 'set', value: undefined }],
  ['SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY', { kind: 'accepted', tag: 'SET' }],
  ['SET TRANSACTION ISOLATION LEVEL READ COMMITTED', { kind: 'accepted', tag: 'SET' }],
  ['SHOW TRANSACTION ISOLATION LEVEL', { kind: 'show', name: 'transaction_isolation' }],
  ['show time zone', { kind: 'show', name: 'timezone' }],
  ['SHOW ALL', { kind: 'show', name: 'all' }],
  ['reset all', { kind: 'reset', name: 'all' }],
  ['DISCARD ALL', { kind: 'discard', what: 'all' }],
  ['DEALLOCATE ALL', { kind: 'deallocate', name: undefined }],
  ['deallocate prepare "_pg3_0"', { kind: 'deallocate', name: '_pg3_0' }],
  ['UNLISTEN *', { kind: 'accepted', tag: 'UNLISTEN' }],
  ['close all', { kind: 'close', name: undefined }],
  ['FETCH FORWARD 100 FROM "c"', { kind: 'fetch', name: 'c', count: 100, move: false }],
  ['fetch all in c', { kind: 'fetch', count: Infinity }],
  ['fetch forward all from c', { kind: 'fetch', count: Infinity }],
  ['fetch next from c', { kind: 'fetch', count: 1 }],
  ['fetch c', { kind: 'fetch', name: 'c', count: 1 }],
  ['MOVE 5 c', { kind: 'fetch', count: 5, move: true }],
  ['DECLARE c NO SCROLL CURSOR WITH HOLD FOR select 1', { kind: 'declare', name: 'c', hold: true }],
  ['declare "C" cursor without hold for select 1', { kind: 'declare', name: 'C', hold: false }],
])('%s', (sql, expected) => {
  expect(parse(sql)).toMatchObject(expected);
});

test.each(['show tables', 'show all tables', 'select 1', 'describe posts', 'from posts', 'insert into a values (1)', 'show tables from lake'])(
  '%s is not for the door', (sql) => {
    expect(parse(sql)).toBeUndefined();
  });

test('COPY in both spellings', () => {
  const copyOf = (sql: string): unknown => {
    const command = parse(sql);
    return command?.kind === 'copy' ? { query: command.query, options: command.options } : command;
  };
  const csv = { format: 'csv', delimiter: ';', nullText: 'N', header: true, quote: "'", escape: "'", forceQuote: true };
  expect(copyOf(`copy (select ')', "a)" from t) to stdout with (format csv, header, delimiter ';', null 'N', quote '''', force_quote *)`))
    .toEqual({ query: `select ')', "a)" from t`, options: csv });
  expect(copyOf(`COPY  ( select 1 ) TO STDOUT CSV HEADER DELIMITER AS ';' NULL AS 'N' QUOTE AS '''' FORCE QUOTE *`)).toMatchObject({ options: csv });
  expect(copyOf('copy lake.posts (a, "B") to stdout')).toMatchObject({ query: 'SELECT a, "B" FROM lake.posts', options: { format: 'text', delimiter: '\t', nullText: '\\N' } });
  expect(copyOf('copy posts to stdout (format binary)')).toMatchObject({ query: 'SELECT * FROM posts', options: { format: 'binary' } });
});

test.each([
  [`copy posts to '/etc/passwd'`, '42501'], [`copy posts to program 'id'`, '42501'], ['copy posts from stdin', '25006'], [`copy (select 1) to stdout (format xml)`, '22023'],
  [`copy (select 1 to stdout`, '42601'], [`copy posts to stdout (delimiter '||')`, '22023'], [`copy posts to stdout (nonsense 1)`, '42601'], ['fetch prior from c', '0A000'],
  ['declare c scroll cursor for select 1', '0A000'], ['declare c cursor for', '42601'], ['set', '42601'], ['set a', '42601'], ['show', '42601'], ['listen x', '0A000'],
  ['execute a', '0A000'], ['savepoint', '42601'],
])('%s is refused with %s', (sql, sqlstate) => {
  let error: unknown;
  try {
    parse(sql);
  } catch (thrown) {
    error = thrown;
  }
  const codes: Readonly<Record<string, string>> = { unsupported: '0A000', forbidden: '42501', bad_request: '22023' };
  const { code, context } = error as { code: string; context: { sqlstate?: string } };
  expect(context.sqlstate ?? codes[code]).toBe(sqlstate);
});

const lakeTables = new Set(['posts', 'events', 'raw', 'activity']);
const target = (sql: string): string => targetOf(splitStatements(sql)[0] ?? { sql, start: 0, startCharacter: 0, tokens: [] }, (name) => lakeTables.has(name));

test.each([
  'select oid, typname from pg_type', 'SELECT * FROM information_schema.tables', `select current_setting('server_version_num')::int/100`,
  'select pg_catalog.version()', 'select version()', 'SELECT current_database(), current_schema()', 'select current_schema', 'select session_user',
  `select 'lake.posts'::regclass`, `select quote_ident('a')`, `SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'`,
  `select has_table_privilege('lake.posts', 'select')`, 'select "pg_catalog"."version"()', `select '{a}'::regtype`, 'SELECT current_schemas(false)',
])('%s asks the catalogue', (sql) => expect(target(sql)).toBe('catalogue'));

test.each([
  'select 1', 'select count(*) from posts', 'select * from lake.posts', `select 'pg_class' from posts`, 'select text /* pg_class */ from posts -- information_schema',
  'select version(), count(*) from posts', 'select current_user, p.* from lake.posts p', 'select pg_typeof(text) from posts', 'select version from posts',
  'describe posts', 'with a as (select 1) select * from a', `select $$pg_class$$`, 'select raw.body from raw',
])('%s asks the engine', (sql) => expect(target(sql)).toBe('engine'));

test('settings: fixed ones are refused, others remembered, transactions undo', () => {
  const settings = createSettings(new Map([['application_name', 'psql'], ['DateStyle', 'ISO'], ['TimeZone', 'Europe/Berlin'], ['extra_float_digits', '2'], ['nonsense', '1']]), 'ana', '18.4');
  expect(Object.fromEntries(settings.announced())).toMatchObject({
    application_name: 'psql', TimeZone: 'UTC', DateStyle: 'ISO, MDY', server_version: '18.4', client_encoding: 'UTF8', integer_datetimes: 'on',
    standard_conforming_strings: 'on', session_authorization: 'ana', default_transaction_read_only: 'on',
  });
  expect(settings.get('extra_float_digits')).toBe('2');
  for (const [name, value] of [['timezone', 'Europe/Berlin'], ['datestyle', 'German'], ['client_encoding', 'LATIN1'], ['standard_conforming_strings', 'off'], ['server_encoding', 'UTF8'], ['statement_timeout', 'soon']]) {
    expect(() => settings.set(name ?? '', value, false)).toThrow();
  }
  expect(settings.set('timezone', 'Etc/UTC', false)).toEqual({ name: 'TimeZone', value: 'UTC' });
  settings.begin();
  settings.set('statement_timeout', '2s', false);
  settings.set('search_path', 'other', true);
  expect([settings.statementTimeoutMs(), settings.get('search_path')]).toEqual([2000, 'other']);
  settings.end(true);
  expect([settings.statementTimeoutMs(), settings.get('search_path')]).toEqual([2000, 'lake']);
  settings.begin();
  settings.set('statement_timeout', '1min', false);
  settings.end(false);
  expect(settings.statementTimeoutMs()).toBe(2000);
  settings.resetAll();
  expect([settings.statementTimeoutMs(), settings.get('extra_float_digits')]).toEqual([0, '2']);
});

test('a transaction goes through the states that its drawing has', () => {
  const transaction = new Transaction();
  const step = (sql: string): string => {
    const command = parse(sql);
    if (command === undefined) throw new Error(sql);
    transaction.check(command);
    const { tag, warning } = transaction.step(command as Parameters<Transaction['step']>[0]);
    return `${tag} ${transaction.status}${warning === undefined ? '' : ` ${warning.sqlstate}`}`;
  };
  transaction.fail();
  expect(transaction.status).toBe('I');
  expect([step('commit'), step('begin'), step('begin'), step('savepoint a'), step('savepoint b')])
    .toEqual(['COMMIT I 25P01', 'BEGIN T', 'BEGIN T 25001', 'SAVEPOINT T', 'SAVEPOINT T']);
  transaction.fail();
  expect(() => transaction.check(undefined)).toThrow(expect.objectContaining({ context: { sqlstate: '25P02' } }));
  expect(() => step('savepoint c')).toThrow(/aborted/);
  expect(step('rollback to a')).toBe('ROLLBACK T');
  expect(() => step('release b')).toThrow(/does not exist/);
  transaction.fail();
  expect(step('commit and chain')).toBe('ROLLBACK T');
  expect(step('commit')).toBe('COMMIT I');
  expect(() => step('savepoint a')).toThrow(/transaction blocks/);
});
