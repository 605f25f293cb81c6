import type { TableInfo } from '../engine/engine.ts';
import { complete } from './completion.ts';

const table = (schema: string, name: string, ...columns: string[]): TableInfo => ({
  schema,
  name,
  comment: `about ${name}`,
  columns: columns.map((column) => ({ name: column, type: 'VARCHAR', comment: '' })),
});
const tables = [
  table('lake', 'posts', 'event_id', 'post_id', 'text'),
  table('lake', 'events', 'event_id', 'name'),
  table('store', 'posts', 'event_id', 'hidden'),
];

/** The bar marks the cursor. */
function at(marked: string, kind?: string): { from: number; labels: string[] } {
  const position = marked.indexOf('|');
  const { from, suggestions } = complete(marked.replace('|', ''), position, tables);
  return {
    from,
    labels: suggestions
      .filter((suggestion) => kind === undefined || suggestion.kind === kind)
      .map(({ label }) => label),
  };
}

test('tables after FROM, JOIN and a comma there', () => {
  expect(at('SELECT * FROM |').labels.slice(0, 4)).toEqual(['posts', 'events', 'lake', 'store']);
  expect(at('SELECT * FROM po|', 'table').labels).toEqual(['posts']);
  expect(at('SELECT * FROM posts JOIN ev|', 'table').labels).toEqual(['events']);
  expect(at('SELECT * FROM posts p, |', 'table').labels).toContain('events');
  expect(at('SELECT * FROM store.|', 'table').labels).toEqual(['posts']);
});

test('columns of the tables that are named, wherever the cursor is', () => {
  expect(at('SELECT | FROM posts', 'column').labels).toEqual(['event_id', 'post_id', 'text']);
  expect(at('SELECT te| FROM posts', 'column').labels).toEqual(['text']);
  expect(at('SELECT event_id, | FROM posts', 'column').labels).toContain('text');
  expect(at('SELECT * FROM store.posts WHERE h|', 'column').labels).toEqual(['hidden']);
  expect(at('SELECT * FROM posts AS p JOIN events e ON p.event_id = e.|', 'column').labels).toEqual([
    'event_id',
    'name',
  ]);
  expect(at('SELECT p.| FROM "posts" p', 'column').labels).toEqual(['event_id', 'post_id', 'text']);
  expect(at('SELECT posts.| FROM posts WHERE true', 'column').labels).toEqual(['event_id', 'post_id', 'text']);
});

test('functions and keywords; the word under the cursor is what is replaced', () => {
  expect(at('SELECT date_tr|', 'function')).toEqual({ from: 7, labels: ['date_trunc'] });
  expect(at('sel|').labels).toEqual(['SELECT']);
  expect(at('SELECT read_te|').labels).toEqual([]);
});

test('nothing inside of text and comments', () => {
  expect(at("SELECT 'fro|m' FROM posts").labels).toEqual([]);
  expect(at('SELECT 1 FROM posts -- wh|', 'column').labels.length).toBeGreaterThanOrEqual(0);
});
