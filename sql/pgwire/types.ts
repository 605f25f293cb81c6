/**
 * How a column is announced: PostgreSQL's own OID, never an invented one (clients look them up and fail on strangers).
 */
export interface PgType {
  readonly oid: number;
  /** `typlen`: bytes of a fixed-size value, -1 for others. */
  readonly size: number;
  /** Precision and scale of a numeric, else -1. */
  readonly typmod: number;
  /** OID of the array of it; 0 where an array is sent as jsonb. */
  readonly array: number;
}

const type = (oid: number, size: number, array: number, typmod = -1): PgType => ({ oid, size, typmod, array });

export const oids = {
  bool: 16,
  bytea: 17,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  unknown: 705,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  varbit: 1562,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const;

const bool = type(oids.bool, 1, 1000);
const bytea = type(oids.bytea, -1, 1001);
const int2 = type(oids.int2, 2, 1005);
const int4 = type(oids.int4, 4, 1007);
const int8 = type(oids.int8, 8, 1016);
const text = type(oids.text, -1, 1009);
const json = type(oids.json, -1, 199);
const jsonb = type(oids.jsonb, -1, 3807);
const float4 = type(oids.float4, 4, 1021);
const float8 = type(oids.float8, 8, 1022);
const date = type(oids.date, 4, 1182);
const time = type(oids.time, 8, 1183);
const timetz = type(oids.timetz, 12, 1270);
const timestamp = type(oids.timestamp, 8, 1115);
const timestamptz = type(oids.timestamptz, 8, 1185);
const interval = type(oids.interval, 16, 1187);
const varbit = type(oids.varbit, -1, 1563);
const numeric = type(oids.numeric, -1, 1231);
const uuid = type(oids.uuid, 16, 2951);

// Unsigned types take the next wider signed one; what fits no integer is numeric.
const scalars: ReadonlyMap<string, PgType> = new Map([
  ['BOOLEAN', bool],
  ['TINYINT', int2],
  ['UTINYINT', int2],
  ['SMALLINT', int2],
  ['USMALLINT', int4],
  ['INTEGER', int4],
  ['INT', int4],
  ['UINTEGER', int8],
  ['BIGINT', int8],
  ['UBIGINT', numeric],
  ['HUGEINT', numeric],
  ['UHUGEINT', numeric],
  ['BIGNUM', numeric],
  ['VARINT', numeric],
  ['FLOAT', float4],
  ['REAL', float4],
  ['DOUBLE', float8],
  ['VARCHAR', text],
  ['CHAR', text],
  ['TEXT', text],
  ['BLOB', bytea],
  ['VARBINARY', bytea],
  ['DATE', date],
  ['TIME', time],
  ['TIME_NS', time],
  ['TIME WITH TIME ZONE', timetz],
  ['TIMESTAMP', timestamp],
  ['TIMESTAMP_S', timestamp],
  ['TIMESTAMP_MS', timestamp],
  ['TIMESTAMP_NS', timestamp],
  ['TIMESTAMP WITH TIME ZONE', timestamptz],
  ['INTERVAL', interval],
  ['BIT', varbit],
  ['UUID', uuid],
  ['JSON', json],
  ['VARIANT', jsonb],
]);

/**
 * The PostgreSQL type of a column of the engine, by the engine's name of it (DuckDB's, and Trino's where they differ).
 * Lists of scalars are arrays; lists of lists (they may be ragged, arrays may not), structs, maps and unions are jsonb;
 * what we do not know is text.
 */
export function pgTypeOf(engineType: string): PgType {
  const name = engineType.trim();
  const list = /^(.*)\[\d*\]$/s.exec(name)?.[1] ?? /^array\((.*)\)$/is.exec(name)?.[1];
  if (list !== undefined) {
    const element = pgTypeOf(list);
    return element.array === 0 || isNested(list) ? jsonb : type(element.array, -1, 0, element.typmod);
  }
  if (isNested(name)) return jsonb;
  const decimal = /^DECIMAL\((\d+),\s*(\d+)\)$/i.exec(name);
  // The modifier of numeric(p,s) is ((p << 16) | s) + 4 (numeric.c, make_numeric_typmod).
  if (decimal) return type(numeric.oid, -1, numeric.array, ((Number(decimal[1]) << 16) | Number(decimal[2])) + 4);
  const plain = name
    .toUpperCase()
    .replace(/\(\d+\)/, '')
    .replace(/\s+/g, ' ');
  return scalars.get(plain) ?? text;
}

/** Whether a value of the type is sent as a JSON document. */
function isNested(name: string): boolean {
  return /^(STRUCT|MAP|UNION|ROW)\s*\(/i.test(name);
}

const engineTypes: ReadonlyMap<number, string> = new Map([
  [oids.bool, 'BOOLEAN'],
  [oids.bytea, 'BLOB'],
  [oids.int2, 'SMALLINT'],
  [oids.int4, 'INTEGER'],
  [oids.int8, 'BIGINT'],
  [oids.oid, 'BIGINT'],
  [oids.text, 'VARCHAR'],
  [oids.varchar, 'VARCHAR'],
  [oids.bpchar, 'VARCHAR'],
  [oids.name, 'VARCHAR'],
  [oids.json, 'JSON'],
  [oids.jsonb, 'JSON'],
  [oids.float4, 'FLOAT'],
  [oids.float8, 'DOUBLE'],
  [oids.date, 'DATE'],
  [oids.time, 'TIME'],
  [oids.timetz, 'TIME WITH TIME ZONE'],
  [oids.timestamp, 'TIMESTAMP'],
  [oids.timestamptz, 'TIMESTAMP WITH TIME ZONE'],
  [oids.interval, 'INTERVAL'],
  [oids.varbit, 'BIT'],
  [oids.uuid, 'UUID'],
]);

const elements: ReadonlyMap<number, number> = new Map(
  [
    bool,
    bytea,
    int2,
    int4,
    int8,
    text,
    json,
    jsonb,
    float4,
    float8,
    date,
    time,
    timetz,
    timestamp,
    timestamptz,
    interval,
    varbit,
    numeric,
    uuid,
  ].map((entry) => [entry.array, entry.oid]),
)
  .set(1015, oids.varchar)
  .set(1014, oids.bpchar)
  .set(1003, oids.name)
  .set(1028, oids.oid);

/** The OID of an array's elements, or undefined where the OID is no array we take. */
export function elementOf(oid: number): number | undefined {
  return elements.get(oid);
}

/** The engine's type a parameter of that OID is cast to, or undefined where we cannot take it. */
export function engineTypeOf(oid: number): string | undefined {
  const element = elements.get(oid);
  if (element !== undefined) {
    const inner = engineTypeOf(element);
    return inner === undefined ? undefined : `${inner}[]`;
  }
  // Without a precision of its own a numeric keeps what DuckDB can hold of it: 38 digits, 10 of them after the point.
  if (oid === oids.numeric) return 'DECIMAL(38,10)';
  return engineTypes.get(oid);
}
