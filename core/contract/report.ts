/** Of a statement's parameter, as JSON holds it. */
export type Value = string | number | boolean | null;

/** A saved query in a report, and how its answer is shown. */
export interface Part {
  /** Id of the saved query. */
  readonly query: string;
  /** Default: the query's name. */
  readonly title?: string;
  readonly show: 'table' | 'bars' | 'number';
  /** Values of the query's parameters; `event`, `hours`, `from` and `to` are the report's own where none is given. */
  readonly values?: Readonly<Record<string, Value>>;
}
