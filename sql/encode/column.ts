import { type DuckDBDataChunk, type DuckDBType, DuckDBTypeId, DuckDBVector } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { stringBytes, type Strings } from './strings.ts';

/**
 * One column of a chunk as DuckDB lays it out, read without making a JavaScript value per cell. Copies of DuckDB's
 * memory, except that text and blobs are fetched when `strings` is called: call it while the chunk lives.
 */
export interface Column {
  readonly type: DuckDBType;
  readonly count: number;
  /** One bit per row, least significant first, 1 = there is a value; undefined where no value is null. */
  readonly validity: Uint8Array | undefined;
  /**
   * Fixed-width storage, little endian: the number itself; for a list its offset and length (8 bytes each) in
   * `children[0]`.
   */
  readonly data: Uint8Array;
  /** Elements of a list or array, keys and values of a map (one struct), members of a struct. */
  readonly children: readonly Column[];
  /** The bytes of VARCHAR, BLOB and other variable-length columns. */
  strings(): Strings;
  /** DuckDB's own text of a cell, slow: for types that are too rare to have an encoding of their own. */
  text(row: number): string;
}

/** What an encoder must know of a column before the first row. */
export interface EncodedColumn {
  readonly name: string;
  readonly type: DuckDBType;
}

export function isNull(column: Column, row: number): boolean {
  const validity = column.validity;
  return validity !== undefined && ((validity[row >> 3] ?? 0) & (1 << (row & 7))) === 0;
}

/**
 * Some thousand rows. `columns` is made when first asked for; `duckdb` is the same chunk as the package presents it.
 */
export interface Chunk {
  readonly rowCount: number;
  readonly columns: readonly Column[];
  readonly duckdb: DuckDBDataChunk;
}

export function chunkOf(chunk: DuckDBDataChunk, types: readonly DuckDBType[]): Chunk {
  const rowCount = chunk.rowCount;
  let columns: readonly Column[] | undefined;
  return {
    rowCount,
    duckdb: chunk,
    get columns() {
      return (columns ??= types.map((type, index) =>
        columnOf(duckdb.data_chunk_get_vector(chunk.chunk, index), rowCount, type),
      ));
    },
  };
}

function columnOf(vector: duckdb.Vector, count: number, type: DuckDBType): Column {
  const width = storageBytes(type);
  const data = width === 0 || count === 0 ? empty : duckdb.vector_get_data(vector, count * width);
  let strings: Strings | undefined;
  let slow: DuckDBVector | undefined;
  const validity = count === 0 ? undefined : duckdb.vector_get_validity(vector, Math.ceil(count / 64) * 8);
  const column: Column = {
    type,
    count,
    // The bindings say Uint8Array and give null where DuckDB keeps no mask.
    validity: validity ?? undefined,
    data,
    children: childrenOf(vector, count, type),
    strings: () => (strings ??= stringBytes(data, count, column.validity)),
    text(row) {
      slow ??= DuckDBVector.create(vector, count, type);
      return String(slow.getItem(row));
    },
  };
  return column;
}

const empty = new Uint8Array(0);

function childrenOf(vector: duckdb.Vector, count: number, type: DuckDBType): Column[] {
  switch (type.typeId) {
    case DuckDBTypeId.LIST: {
      const size = duckdb.list_vector_get_size(vector);
      return [columnOf(duckdb.list_vector_get_child(vector), size, type.valueType)];
    }
    case DuckDBTypeId.MAP: {
      const size = duckdb.list_vector_get_size(vector);
      const entries = duckdb.list_vector_get_child(vector);
      return [type.keyType, type.valueType].map((member, index) =>
        columnOf(duckdb.struct_vector_get_child(entries, index), size, member),
      );
    }
    case DuckDBTypeId.ARRAY:
      return [columnOf(duckdb.array_vector_get_child(vector), count * type.length, type.valueType)];
    case DuckDBTypeId.STRUCT:
      return type.entryTypes.map((member, index) =>
        columnOf(duckdb.struct_vector_get_child(vector, index), count, member),
      );
    default:
      return [];
  }
}

/** Bytes a row takes in a vector's own storage, 0 where it has none (struct, array). DuckDB's `PhysicalType` sizes. */
function storageBytes(type: DuckDBType): number {
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
    case DuckDBTypeId.TINYINT:
    case DuckDBTypeId.UTINYINT:
      return 1;
    case DuckDBTypeId.SMALLINT:
    case DuckDBTypeId.USMALLINT:
      return 2;
    case DuckDBTypeId.INTEGER:
    case DuckDBTypeId.UINTEGER:
    case DuckDBTypeId.FLOAT:
    case DuckDBTypeId.DATE:
      return 4;
    case DuckDBTypeId.ENUM:
      return enumBytes(type.values.length);
    case DuckDBTypeId.DECIMAL:
      return decimalBytes(type.width);
    case DuckDBTypeId.STRUCT:
    case DuckDBTypeId.ARRAY:
    case DuckDBTypeId.UNION:
    case DuckDBTypeId.VARIANT:
    case DuckDBTypeId.SQLNULL:
      return 0;
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
    case DuckDBTypeId.UUID:
    case DuckDBTypeId.INTERVAL:
    case DuckDBTypeId.VARCHAR:
    case DuckDBTypeId.BLOB:
    case DuckDBTypeId.BIT:
    case DuckDBTypeId.BIGNUM:
    case DuckDBTypeId.GEOMETRY:
    case DuckDBTypeId.LIST:
    case DuckDBTypeId.MAP:
      return 16;
    default:
      return 8;
  }
}

/** Bytes of a decimal's unscaled integer. */
export function decimalBytes(width: number): 2 | 4 | 8 | 16 {
  return width <= 4 ? 2 : width <= 9 ? 4 : width <= 18 ? 8 : 16;
}

/** Bytes of an enum's index. */
export function enumBytes(members: number): 1 | 2 | 4 {
  return members <= 256 ? 1 : members <= 65536 ? 2 : 4;
}
