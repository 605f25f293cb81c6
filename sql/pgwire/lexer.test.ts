import fc from 'fast-check';
import { parameterCount, splitStatements, stringValue } from './lexer.ts';

const parts = (text: string): string[] => splitStatements(text).filter(({ tokens }) => tokens.length > 0).map(({ sql }) => sql.trim());

test.each<[string, string[]]>([
  ['select 1; select 2', ['select 1', 'select 2']],
  ['', []],
  [' ;; -- nothing\n; /* ; */', []],
  ["select ';' ; select 'it''s;'", ["select ';'", "select 'it''s;'"]],
  ["select E'a\\';b'; select 2", ["select E'a\\';b'", 'select 2']],
  ["select 'a\\'; select 2", ["select 'a\\'", 'select 2']],
  ['select "a;""b"; select 2', ['select "a;""b"', 'select 2']],
  ['select $$;$$; select $x$ ; $$ ; $x$', ['select $$;$$', 'select $x$ ; $$ ; $x$']],
  ['select a$b; select $1;', ['select a$b', 'select $1']],
  ['select 1 -- ; no\n; select 2', ['select 1 -- ; no', 'select 2']],
  ['select /* ; /* ; */ ; */ 1; select 2', ['select /* ; /* ; */ ; */ 1', 'select 2']],
  ["select 'never closed; select 2", ["select 'never closed; select 2"]],
  ['select 1 /* never closed; select 2', ['select 1 /* never closed; select 2']],
  ["select U&'\\0041;' ; select U&\"d;\"", ["select U&'\\0041;'", 'select U&"d;"']],
  ['-- ping', []],
])('%j is cut where it should be', (text, expected) => {
  expect(parts(text)).toEqual(expected);
});

test('positions point into the statement, and its start into the text', () => {
  const [, second] = splitStatements("select 'é😀'; select $2, \"A b\", Foo");
  expect(second?.start).toBe("select 'é😀';".length);
  expect(second?.tokens.map(({ kind, text, start }) => [kind, text, start])).toEqual([
    ['word', 'select', 1], ['parameter', '2', 8], ['operator', ',', 10], ['quoted', 'A b', 12], ['operator', ',', 17], ['word', 'foo', 19],
  ]);
  expect(parameterCount(second?.tokens ?? [])).toBe(2);
});

test('the pieces and the semicolons between them are the whole text, whatever it is', () => {
  const piece = fc.oneof(fc.constantFrom("'", '"', ';', '$$', '$a$', '--', '/*', '*/', '\n', '\\', "E'", '$1', 'U&"', ' '), fc.string({ unit: 'grapheme', maxLength: 4 }));
  fc.assert(fc.property(fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join('')), (text) => {
    const statements = splitStatements(text);
    const joined = statements.map(({ sql }) => sql).join(';');
    expect(text.startsWith(joined)).toBe(true);
    for (const { sql, tokens } of statements) {
      for (const token of tokens) expect(token.end).toBeLessThanOrEqual(sql.length);
    }
  }), { numRuns: 1000 });
});

test('a megabyte of quotes, comments and dollars is read in reasonable time', () => {
  for (const unit of ["''", '/*', '--\n', '$a$ ', '"', "e'\\'"]) {
    const startedMs = performance.now();
    splitStatements(unit.repeat(Math.floor(1e6 / unit.length)));
    expect(performance.now() - startedMs).toBeLessThan(30_000);
  }
});

test('values of strings', () => {
  const value = (text: string): string | undefined => splitStatements(text)[0]?.tokens.map(stringValue)[0];
  expect(value("'it''s'")).toBe("it's");
  expect(value("E'a\\'b'")).toBe("a'b");
  expect(value('$t$a $$ b$t$')).toBe('a $$ b');
});
