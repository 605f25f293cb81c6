import { DuckDBTypeId, type DuckDBType } from '@duckdb/node-api';
import {
  AsyncByteQueue,
  Binary,
  Bool,
  BufferType,
  Data,
  type DataType,
  DateDay,
  Decimal,
  Field,
  FixedSizeList,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  List,
  Map_,
  Null,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimeMicrosecond,
  TimestampMicrosecond,
  TimestampMillisecond,
  TimestampNanosecond,
  TimestampSecond,
  Uint16,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
} from 'apache-arrow';
import { scalarWriter } from './cells.ts';
import { type Column, decimalBytes, isNull } from './column.ts';
import type { EncoderFactory } from './encoder.ts';
import { distinctNames } from './json.ts';
import { Sink } from './sink.ts';

/**
 * An Arrow IPC stream: the schema, a record batch per chunk, the end. DuckDB's columns are laid out as Arrow's are, so
 * that numbers are taken as they stand; text is put together. What Arrow has no type for that its readers know (128-bit
 * integers beyond 38 digits, intervals, UUIDs, bits, unions) is text.
 */
export const arrowEncoder: EncoderFactory = (columns) => {
  const names = distinctNames(columns.map(({ name }) => name));
  const fields = columns.map(({ name, type }, index) => new Field(names[index] ?? name, arrowType(type), true));
  const schema = new Schema(fields);
  const struct = new Struct(fields);
  const target: { sink: Sink | undefined } = { sink: undefined };
  const queue = new SinkQueue(target);
  const writer = new RecordBatchStreamWriter({ autoDestroy: true });
  return {
    begin(sink) {
      target.sink = sink;
      writer.reset(queue, schema);
    },
    rows(chunk, from, to, sink) {
      target.sink = sink;
      const selection = from === 0 ? undefined : Int32Array.from({ length: to - from }, (_, index) => from + index);
      const children = chunk.columns.map((column) => dataOf(column, selection, to - from));
      writer.write(new RecordBatch(schema, new Data(struct, 0, to - from, 0, undefined, children)));
      return to;
    },
    end(sink) {
      target.sink = sink;
      writer.finish();
    },
  };
};

/** Where the package's writer puts its bytes: at once into the sink. */
class SinkQueue extends AsyncByteQueue {
  readonly #target: { sink: Sink | undefined };

  constructor(target: { sink: Sink | undefined }) {
    super();
    this.#target = target;
  }

  override write(value: Parameters<AsyncByteQueue['write']>[0]): void {
    const { sink } = this.#target;
    if (sink === undefined || !ArrayBuffer.isView(value)) return;
    sink.copy(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), 0, value.byteLength);
  }

  override close(): void {
    // Nobody waits for the end of this queue.
  }
}

function arrowType(type: DuckDBType): DataType {
  switch (type.typeId) {
    case DuckDBTypeId.DECIMAL:
      return new Decimal(type.scale, type.width);
    case DuckDBTypeId.LIST:
      return new List(new Field('item', arrowType(type.valueType), true));
    case DuckDBTypeId.ARRAY:
      return new FixedSizeList(type.length, new Field('item', arrowType(type.valueType), true));
    case DuckDBTypeId.STRUCT:
      return new Struct(
        type.entryTypes.map((member, index) => new Field(type.entryNames[index] ?? '', arrowType(member), true)),
      );
    case DuckDBTypeId.MAP:
      return new Map_(
        new Field(
          'entries',
          new Struct<{ key: DataType; value: DataType }>([
            new Field('key', arrowType(type.keyType), false),
            new Field('value', arrowType(type.valueType), true),
          ]),
          false,
        ),
      );
    default:
      return plainTypes.get(type.typeId)?.() ?? new Utf8();
  }
}

const plainTypes: ReadonlyMap<DuckDBTypeId, () => DataType> = new Map<DuckDBTypeId, () => DataType>([
  [DuckDBTypeId.SQLNULL, () => new Null()],
  [DuckDBTypeId.BOOLEAN, () => new Bool()],
  [DuckDBTypeId.TINYINT, () => new Int8()],
  [DuckDBTypeId.SMALLINT, () => new Int16()],
  [DuckDBTypeId.INTEGER, () => new Int32()],
  [DuckDBTypeId.BIGINT, () => new Int64()],
  [DuckDBTypeId.UTINYINT, () => new Uint8()],
  [DuckDBTypeId.USMALLINT, () => new Uint16()],
  [DuckDBTypeId.UINTEGER, () => new Uint32()],
  [DuckDBTypeId.UBIGINT, () => new Uint64()],
  // As DuckDB itself exports it: 38 digits; sums of BIGINT are of this type and never get there.
  [DuckDBTypeId.HUGEINT, () => new Decimal(0, 38)],
  [DuckDBTypeId.FLOAT, () => new Float32()],
  [DuckDBTypeId.DOUBLE, () => new Float64()],
  [DuckDBTypeId.DATE, () => new DateDay()],
  [DuckDBTypeId.TIME, () => new TimeMicrosecond()],
  [DuckDBTypeId.TIMESTAMP, () => new TimestampMicrosecond()],
  [DuckDBTypeId.TIMESTAMP_S, () => new TimestampSecond()],
  [DuckDBTypeId.TIMESTAMP_MS, () => new TimestampMillisecond()],
  [DuckDBTypeId.TIMESTAMP_NS, () => new TimestampNanosecond()],
  [DuckDBTypeId.TIMESTAMP_TZ, () => new TimestampMicrosecond('UTC')],
  [DuckDBTypeId.BLOB, () => new Binary()],
]);

/** Rows of the column that are wanted, in order; undefined for the first `count`. */
type Selection = Int32Array | undefined;

interface Buffers {
  readonly offsets?: Int32Array;
  readonly values?: ArrayBufferView;
  readonly children?: Data[];
}

function dataOf(column: Column, selection: Selection, count: number): Data {
  const type = arrowType(column.type);
  const { offsets, values, children = [] } = buffersOf(column, selection, count);
  const validity = validityOf(column, selection, count);
  const buffers = {
    ...(offsets === undefined ? {} : { [BufferType.OFFSET]: offsets }),
    ...(values === undefined ? {} : { [BufferType.DATA]: values }),
    ...(validity === undefined ? {} : { [BufferType.VALIDITY]: validity }),
  };
  // -1: counted when it is written. The package wants each type's own array, which the switch below gives.
  return new Data(
    type,
    0,
    count,
    validity === undefined ? 0 : -1,
    buffers as ConstructorParameters<typeof Data>[4],
    children,
  );
}

function buffersOf(column: Column, selection: Selection, count: number): Buffers {
  const { type } = column;
  switch (type.typeId) {
    case DuckDBTypeId.SQLNULL:
      return {};
    case DuckDBTypeId.BOOLEAN:
      return { values: bits(count, (index) => column.data[rowAt(selection, index)] === 1) };
    case DuckDBTypeId.VARCHAR:
    case DuckDBTypeId.BLOB:
      return textBuffers(column, selection, count);
    case DuckDBTypeId.HUGEINT:
      return { values: new Uint32Array(fixed(column, 16, selection, count).buffer) };
    case DuckDBTypeId.DECIMAL:
      return { values: decimals(column, decimalBytes(type.width), selection, count) };
    case DuckDBTypeId.LIST: {
      const [elements] = column.children;
      const { offsets, rows } = listRows(column, selection, count);
      return { offsets, children: elements === undefined ? [] : [dataOf(elements, rows, rows.length)] };
    }
    case DuckDBTypeId.MAP:
      return mapBuffers(column, arrowType(type), selection, count);
    case DuckDBTypeId.ARRAY: {
      const [elements] = column.children;
      const rows = Int32Array.from(
        { length: count * type.length },
        (_, index) => rowAt(selection, Math.floor(index / type.length)) * type.length + (index % type.length),
      );
      return { children: elements === undefined ? [] : [dataOf(elements, rows, rows.length)] };
    }
    case DuckDBTypeId.STRUCT:
      return { children: column.children.map((member) => dataOf(member, selection, count)) };
    default: {
      const array = plainTypes.get(type.typeId)?.().ArrayType;
      if (array === undefined) return writtenText(column, selection, count);
      const width = column.count === 0 ? 0 : column.data.length / column.count;
      const bytes = fixed(column, width, selection, count);
      return { values: new array(bytes.buffer, bytes.byteOffset, count) };
    }
  }
}

function rowAt(selection: Selection, index: number): number {
  return selection === undefined ? index : (selection[index] ?? 0);
}

function validityOf(column: Column, selection: Selection, count: number): Uint8Array | undefined {
  if (column.validity === undefined) return undefined;
  if (selection === undefined) return column.validity;
  return bits(count, (index) => !isNull(column, rowAt(selection, index)));
}

function bits(count: number, isSet: (index: number) => boolean): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(count / 8));
  for (let index = 0; index < count; index++) {
    if (isSet(index)) bytes[index >> 3] = (bytes[index >> 3] ?? 0) | (1 << (index & 7));
  }
  return bytes;
}

/** Fixed-width values, as they stand where all rows are wanted. */
function fixed(column: Column, width: number, selection: Selection, count: number): Uint8Array<ArrayBuffer> {
  if (selection === undefined) return Uint8Array.from(column.data.subarray(0, count * width));
  const bytes = new Uint8Array(count * width);
  for (let index = 0; index < count; index++) {
    const start = rowAt(selection, index) * width;
    bytes.set(column.data.subarray(start, start + width), index * width);
  }
  return bytes;
}

/** Decimals of any width as 128-bit integers, four words each. */
function decimals(column: Column, width: 2 | 4 | 8 | 16, selection: Selection, count: number): Uint32Array {
  const words = new Uint32Array(count * 4);
  const view = new DataView(column.data.buffer, column.data.byteOffset, column.data.byteLength);
  for (let index = 0; index < count; index++) {
    const start = rowAt(selection, index) * width;
    const negative = view.getInt8(start + width - 1) < 0;
    for (let word = 0; word < 4; word++) {
      words[index * 4 + word] =
        word * 4 >= width
          ? negative
            ? 0xffffffff
            : 0
          : width === 2
            ? view.getInt16(start, true)
            : view.getUint32(start + word * 4, true);
    }
  }
  return words;
}

function textBuffers(column: Column, selection: Selection, count: number): Buffers {
  const strings = column.strings();
  const offsets = new Int32Array(count + 1);
  let bytes = 0;
  for (let index = 0; index < count; index++) {
    bytes += strings.length[rowAt(selection, index)] ?? 0;
    offsets[index + 1] = bytes;
  }
  const values = new Uint8Array(bytes);
  for (let index = 0; index < count; index++) {
    const row = rowAt(selection, index);
    const length = strings.length[row] ?? 0;
    const block = strings.blocks[strings.block[row] ?? 0];
    const start = strings.start[row] ?? 0;
    let at = offsets[index] ?? 0;
    if (block === undefined || length === 0) continue;
    if (length > 64) values.set(block.subarray(start, start + length), at);
    else for (let from = start; from < start + length; from++) values[at++] = block[from] ?? 0;
  }
  return { offsets, values };
}

/** Types that are sent as the text they have in JSON and CSV. */
function writtenText(column: Column, selection: Selection, count: number): Buffers {
  const write = scalarWriter(column)?.write;
  const scratch = new Sink();
  const offsets = new Int32Array(count + 1);
  for (let index = 0; index < count; index++) {
    const row = rowAt(selection, index);
    if (!isNull(column, row)) write?.(row, scratch);
    offsets[index + 1] = scratch.length;
  }
  return { offsets, values: scratch.take() };
}

/**
 * Where the elements of each list are, put in a row: DuckDB's lists may overlap and come in any order, Arrow's may not.
 */
function listRows(column: Column, selection: Selection, count: number): { offsets: Int32Array; rows: Int32Array } {
  const words = new Uint32Array(column.data.buffer, column.data.byteOffset, column.count * 4);
  const offsets = new Int32Array(count + 1);
  const lengthAt = (row: number): number => (isNull(column, row) ? 0 : (words[row * 4 + 2] ?? 0));
  for (let index = 0; index < count; index++)
    offsets[index + 1] = (offsets[index] ?? 0) + lengthAt(rowAt(selection, index));
  const rows = new Int32Array(offsets[count] ?? 0);
  for (let index = 0; index < count; index++) {
    const row = rowAt(selection, index);
    const length = lengthAt(row);
    for (let element = 0; element < length; element++)
      rows[(offsets[index] ?? 0) + element] = (words[row * 4] ?? 0) + element;
  }
  return { offsets, rows };
}

function mapBuffers(column: Column, type: DataType, selection: Selection, count: number): Buffers {
  const { offsets, rows } = listRows(column, selection, count);
  const members = column.children.map((member) => dataOf(member, rows, rows.length));
  const entries: DataType | undefined = (type.children as readonly Field[] | undefined)?.[0]?.type; // a map's one child is its entries
  return { offsets, children: entries === undefined ? [] : [new Data(entries, 0, rows.length, 0, undefined, members)] };
}
