import { isWatershedError } from '#core/errors.ts';
import { type Bounds, checkStatement } from './guard.ts';

const admins: Bounds = {
  catalog: 'watershed',
  schemas: ['lake', 'store'],
  catalogs: ['watershed', 'system', 'tpch'],
  otherSchemas: ['private'],
};
const readers: Bounds = { ...admins, schemas: ['lake'], otherSchemas: ['private', 'store'] };

function verdict(sql: string, bounds: Bounds): string {
  try {
    checkStatement(sql, bounds);
    return 'passes';
  } catch (error) {
    return isWatershedError(error, 'statement_refused') ? 'refused' : String(error);
  }
}

test.each([
  'SELECT * FROM store.posts',
  'SELECT * FROM "store"."posts"',
  'SELECT * FROM STORE . posts',
  'SELECT * FROM store/**/.posts',
  'SELECT * FROM watershed.store.posts',
  'SELECT * FROM lake.posts WHERE post_id IN (SELECT post_id FROM store.posts)',
  'WITH p AS (TABLE store.posts) SELECT * FROM p',
  'SELECT * FROM store."posts$snapshots"',
  'SHOW TABLES FROM store',
  'SHOW TABLES IN watershed.store',
  'DESCRIBE store.posts',
  'SHOW CREATE TABLE store.posts',
  'SHOW STATS FOR store.posts',
  'EXPLAIN SELECT * FROM store.tombstones',
])('%s is for administrators', (sql) => {
  expect([verdict(sql, readers), verdict(sql, admins)]).toEqual(['refused', 'passes']);
});

test.each([
  'SELECT count(*) FROM posts',
  'SELECT count(*) FROM lake.posts;',
  'SELECT * FROM watershed.lake.posts -- store.posts',
  "SELECT 'store.posts', store FROM (VALUES 1) AS v(store)",
  'SELECT * FROM posts FOR VERSION AS OF 5',
  'SELECT * FROM UNNEST(ARRAY[1, 2]) WITH ORDINALITY AS t(x, i)',
  'SELECT * FROM TABLE(sequence(1, 3))',
  'SELECT * FROM posts MATCH_RECOGNIZE (PARTITION BY author_id MEASURES count(*) AS n PATTERN (a+) DEFINE a AS likes > 1)',
  'WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) TABLE t',
  'SELECT reduce(hashtags, 0, (s, x) -> s + length(x), s -> s) FROM posts',
  'SELECT approx_distinct(author_id) FILTER (WHERE lang = \'en\') FROM posts TABLESAMPLE BERNOULLI (10)',
  '((SELECT 1) UNION ALL (SELECT 2))',
  'VALUES (1, 2)',
  'TABLE posts',
  'SHOW TABLES',
  'SHOW COLUMNS FROM posts',
  'DESCRIBE posts',
  'EXPLAIN (TYPE DISTRIBUTED, FORMAT JSON) SELECT 1',
  'EXPLAIN ANALYZE VERBOSE SELECT 1',
  'SELECT table_name FROM information_schema.tables',
])('%s passes for readers', (sql) => {
  expect(verdict(sql, readers)).toBe('passes');
});

test.each([
  'SELECT 1; SELECT 2',
  'DELETE FROM lake.posts',
  'INSERT INTO lake.posts SELECT * FROM lake.posts',
  'CREATE TABLE lake.x AS SELECT 1',
  'CREATE OR REPLACE VIEW lake.posts AS SELECT 1',
  'EXPLAIN DELETE FROM lake.posts',
  'EXPLAIN ANALYZE INSERT INTO lake.x SELECT 1',
  'EXPLAIN (TYPE IO) CREATE TABLE x AS SELECT 1',
  'CALL watershed.system.remove_orphan_files()',
  'ALTER TABLE store.posts EXECUTE expire_snapshots',
  'SET SESSION query_max_run_time = \'9h\'',
  'RESET SESSION query_max_run_time',
  'SET ROLE admin',
  'SET SESSION AUTHORIZATION admin',
  'PREPARE p FROM SELECT 1',
  'EXECUTE p',
  'EXECUTE IMMEDIATE \'DROP TABLE lake.posts\'',
  'DEALLOCATE PREPARE p',
  'GRANT SELECT ON lake.posts TO x',
  'REFRESH MATERIALIZED VIEW lake.m',
  'ANALYZE lake.posts',
  'START TRANSACTION',
  'USE watershed.store',
  'WITH FUNCTION f() RETURNS bigint LOOP END LOOP SELECT f()',
  'WITH  /* x */  FUNCTION f() RETURNS bigint RETURN 1 SELECT f()',
  'SELECT * FROM system.runtime.queries',
  'SELECT * FROM "system".metadata.catalogs',
  'SELECT * FROM tpch.tiny.nation',
  'SELECT * FROM private.secrets',
  'SELECT * FROM watershed.private.secrets',
  "SELECT * FROM TABLE(watershed.system.table_changes('store', 'posts', 1, 2))",
  "SELECT * FROM TABLE(system.query('SELECT 1'))",
  'SHOW TABLES FROM private',
  'SHOW SCHEMAS FROM tpch',
  'TRUNCATE TABLE lake.posts',
  'MERGE INTO lake.posts USING lake.posts p ON false WHEN MATCHED THEN DELETE',
  'KILL QUERY x',
  '',
  '-- nothing',
])('%s is refused, whoever asks', (sql) => {
  expect(verdict(sql, admins)).toBe('refused');
});
