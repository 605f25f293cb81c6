import { WatershedError } from '#core/errors.ts';
import { stringValue, type Statement, type Token } from './lexer.ts';

/** Walks over a statement's tokens. */
export class Cursor {
  private readonly tokens: readonly Token[];
  private readonly sql: string;
  private index = 0;

  constructor(statement: Statement) {
    this.tokens = statement.tokens;
    this.sql = statement.sql;
  }

  get token(): Token | undefined {
    return this.tokens[this.index];
  }

  get position(): number {
    return this.token?.start ?? this.sql.length;
  }

  /** The text of the next token where it is a word or operator, and goes on. */
  take(): string | undefined {
    const token = this.tokens[this.index++];
    return token?.text;
  }

  skip(...words: string[]): boolean {
    const { token } = this;
    if (token === undefined || token.kind === 'string' || token.kind === 'quoted' || !words.includes(token.text))
      return false;
    this.index++;
    return true;
  }

  name(): string {
    const { token } = this;
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'quoted')) throw this.wrong();
    this.index++;
    return token.text;
  }

  /** A whole number, where one comes next. */
  number(): number | undefined {
    const { token } = this;
    if (token?.kind !== 'number' || !/^\d+$/.test(token.text)) return undefined;
    this.index++;
    return Number(token.text);
  }

  wrong(): WatershedError {
    const near =
      this.token === undefined ? 'end of input' : `or near "${this.sql.slice(this.token.start, this.token.end)}"`;
    return new WatershedError('bad_request', `syntax error at ${near}`, {
      context: { sqlstate: '42601', position: this.position + 1 },
    });
  }

  /** All that is left, each value as a setting takes it; commas between them. */
  values(): string[] {
    const found: string[] = [];
    let sign = '';
    for (; this.token !== undefined; this.index++) {
      const { kind, text } = this.token;
      if (kind === 'operator' && (text === '-' || text === '+')) sign = text === '-' ? '-' : '';
      else if (kind !== 'operator') {
        found.push(sign + (kind === 'string' ? stringValue(this.token) : text));
        sign = '';
      } else if (text !== ',') throw this.wrong();
    }
    return found;
  }
}
