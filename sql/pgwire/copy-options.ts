import { WatershedError } from '#core/errors.ts';
import type { Cursor } from './cursor.ts';
import { stringValue } from './lexer.ts';

/** Text and CSV layouts of COPY … TO STDOUT (PostgreSQL documentation, COPY). */
export interface CopyOptions {
  readonly format: 'text' | 'csv' | 'binary';
  readonly delimiter: string;
  readonly nullText: string;
  readonly header: boolean;
  readonly quote: string;
  readonly escape: string;
  /** All columns, those named, or none. */
  readonly forceQuote: boolean | readonly string[];
}

/** What stands behind `TO STDOUT`. Throws `bad_request` for what is no such option, or what we cannot do. */
// Both spellings: WITH (FORMAT csv, HEADER) and the older WITH CSV HEADER.
export function copyOptions(cursor: Cursor): CopyOptions {
  cursor.skip('with');
  cursor.skip('(');
  const given = new Map<string, string>();
  let forceQuote: CopyOptions['forceQuote'] = false;
  while (cursor.token !== undefined) {
    if (cursor.skip(',', ')')) continue;
    const name = cursor.name();
    if (name === 'csv' || name === 'binary') given.set('format', name);
    else if (name === 'header')
      given.set(
        name,
        cursor.token?.kind === 'word' && /^(true|on|false|off)$/.test(cursor.token.text)
          ? (cursor.take() ?? '')
          : 'true',
      );
    else if (name === 'force_quote' || name === 'force') {
      cursor.skip('quote');
      forceQuote = cursor.skip('*') || columnList(cursor);
    } else {
      cursor.skip('as');
      const { token } = cursor;
      if (token === undefined) throw cursor.wrong();
      given.set(name, token.kind === 'string' ? stringValue(token) : token.text);
      cursor.take();
    }
  }
  return checkedOptions(given, forceQuote);
}

/** `(a, b)`, or without parentheses in the older spelling. */
function columnList(cursor: Cursor): readonly string[] {
  const inParentheses = cursor.skip('(');
  const names = [cursor.name()];
  while (cursor.skip(',')) names.push(cursor.name());
  if (inParentheses && !cursor.skip(')')) throw cursor.wrong();
  return names;
}

function checkedOptions(given: ReadonlyMap<string, string>, forceQuote: CopyOptions['forceQuote']): CopyOptions {
  for (const name of given.keys()) {
    if (!['format', 'delimiter', 'null', 'header', 'quote', 'escape', 'force_quote', 'encoding'].includes(name)) {
      throw new WatershedError('bad_request', `option "${name}" not recognized`, { context: { sqlstate: '42601' } });
    }
  }
  if (!/^(utf-?8|unicode)$/i.test(given.get('encoding') ?? 'utf8')) {
    throw new WatershedError('bad_request', 'COPY writes UTF-8 only', {
      hint: 'leave ENCODING out, and convert what comes on your side',
      context: { sqlstate: '0A000' },
    });
  }
  const format = given.get('format') ?? 'text';
  if (format !== 'text' && format !== 'csv' && format !== 'binary') {
    throw new WatershedError('bad_request', `COPY format "${format}" not recognized`, {
      context: { sqlstate: '22023' },
    });
  }
  const delimiter = given.get('delimiter') ?? (format === 'csv' ? ',' : '\t');
  const quote = given.get('quote') ?? '"';
  const escape = given.get('escape') ?? quote;
  if ([delimiter, quote, escape].some((text) => text.length !== 1 || /[\r\n]/.test(text))) {
    throw new WatershedError('bad_request', 'COPY delimiter, quote and escape must be a single character', {
      context: { sqlstate: '22023' },
    });
  }
  return {
    format,
    delimiter,
    quote,
    escape,
    nullText: given.get('null') ?? (format === 'csv' ? '' : '\\N'),
    header: /^(true|on|1)$/.test(given.get('header') ?? 'off'),
    forceQuote,
  };
}
