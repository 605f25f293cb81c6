import { WatershedError } from '#core/errors.ts';

/** A type of Iceberg, so much of it that DuckDB's name can be told. */
export type IcebergShape =
  | string
  | { readonly type: 'list'; readonly element: IcebergShape }
  | { readonly type: 'map'; readonly key: IcebergShape; readonly value: IcebergShape }
  | { readonly type: 'struct'; readonly fields: readonly { readonly name: string; readonly type: IcebergShape }[] };

const primitives: Readonly<Record<string, string>> = {
  boolean: 'BOOLEAN',
  int: 'INTEGER',
  long: 'BIGINT',
  float: 'FLOAT',
  double: 'DOUBLE',
  date: 'DATE',
  time: 'TIME',
  timestamp: 'TIMESTAMP',
  timestamptz: 'TIMESTAMP WITH TIME ZONE',
  string: 'VARCHAR',
  uuid: 'UUID',
  binary: 'BLOB',
};

/** DuckDB's name of an Iceberg type (specification, Primitive Types). `unsupported` for what we cannot read. */
export function duckType(type: IcebergShape): string {
  if (typeof type === 'string') {
    const decimal = /^decimal\((\d+), ?(\d+)\)$/.exec(type);
    if (decimal !== null) return `DECIMAL(${decimal[1]},${decimal[2]})`;
    const name = type.startsWith('fixed[') ? 'BLOB' : primitives[type];
    if (name !== undefined) return name;
    throw new WatershedError('unsupported', `a column of type ${type} cannot be read`);
  }
  switch (type.type) {
    case 'list':
      return `${duckType(type.element)}[]`;
    case 'map':
      return `MAP(${duckType(type.key)}, ${duckType(type.value)})`;
    case 'struct':
      return `STRUCT(${type.fields.map(({ name, type: inner }) => `"${name.replaceAll('"', '""')}" ${duckType(inner)}`).join(', ')})`;
  }
}
