/**
 * What a report is made of: questions to the lake, and sections that show the answers. Rows in, bytes out; nothing here
 * asks anyone.
 */

export type Cell = string | number | boolean | null;

export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** True where there were more rows than are here. */
  readonly truncated?: boolean;
}

export interface Period {
  /** Ends are exclusive; milliseconds since 1970, UTC. */
  readonly from: number;
  readonly to: number;
}

export interface Parameters {
  /** The event that it is about; some layouts are about all. */
  readonly event: string;
  readonly period: Period;
  /** The report's own name, and what it shows, for layouts that are made of saved queries. */
  readonly title?: string;
  readonly content?: readonly Part[];
}

/** A statement with the values of `$1…`. */
export interface Question {
  readonly sql: string;
  readonly params: readonly Cell[];
}

export interface Part {
  readonly title: string;
  readonly show: 'table' | 'bars' | 'number';
  readonly question: Question;
}

export interface Layout {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** How much time a report of this kind covers when nobody says, hours. */
  readonly hours: number;
  /** Statements by name, those that are shipped in SQL that DuckDB and Trino both understand. */
  questions(parameters: Parameters): Readonly<Record<string, string | Question>>;
  compose(parameters: Parameters, answers: Answers): Document;
}

/** The answers by the name of their question. */
export type Answers = Readonly<Record<string, Rows>>;

export interface Document {
  readonly title: string;
  readonly subtitle: string;
  readonly sections: readonly Section[];
}

export type Section =
  | { readonly kind: 'numbers'; readonly title: string; readonly numbers: readonly Figure[] }
  | { readonly kind: 'bars'; readonly title: string; readonly bars: Bars }
  | { readonly kind: 'table'; readonly title: string; readonly columns: readonly string[]; readonly rows: readonly (readonly Cell[])[];
    readonly empty: string;
    /** True where there were more rows than are here. */
    readonly cut?: boolean }
  | { readonly kind: 'notice'; readonly title: string; readonly text: string };

export interface Figure {
  readonly name: string;
  readonly value: number;
  /** The same of the time before. */
  readonly before: number | undefined;
}

/** Stacked bars: a colour per series, a bar per step. */
export interface Bars {
  readonly steps: readonly string[];
  readonly series: readonly { readonly name: string; readonly color: string; readonly values: readonly number[] }[];
}

export function instantSql(ms: number): string {
  return `cast('${new Date(ms).toISOString().replace('T', ' ').replace('Z', '')} UTC' as timestamp with time zone)`;
}

export function quote(text: string): string {
  return `'${text.replaceAll('\0', '').replaceAll("'", "''")}'`;
}

export function within(column: string, { from, to }: Period): string {
  return `${column} >= ${instantSql(from)} and ${column} < ${instantSql(to)}`;
}

/** "2013-06-20 06:00 UTC" */
export function instantText(value: Cell | undefined): string {
  if (value === null || value === undefined) return '';
  const at = new Date(typeof value === 'number' ? value : String(value));
  return Number.isNaN(at.getTime()) ? String(value) : `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** The only cell of the first row, as a number; 0 where there is none. */
export function numberAt(rows: Rows | undefined, column = 0): number {
  return Number(rows?.rows[0]?.[column] ?? 0);
}
