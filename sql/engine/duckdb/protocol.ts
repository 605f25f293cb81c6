import type { Socket } from 'node:net';
import type { TableName } from '#core/contract/tables.ts';
import type { ErrorCode, ErrorContext } from '#core/errors.ts';
import type { Filter } from '#warehouse/table/scan.ts';
import type { Encoding, Limits, Param, ResultColumn, ResultSummary } from '../engine.ts';
import type { HelperName } from '../views.ts';

/**
 * What parent and child say to each other over one socket. A frame is its length (4 bytes, little endian, of what
 * follows), its kind (1 byte) and its body: JSON, or encoded rows. One statement at a time:
 *
 *     parent                                child
 *     start {options}                 →
 *                                     ←     ready
 *     prepare {sql, params, lake}     →           parses, judges
 *                                     ←     prepared {tables, introspects}    or failed
 *     run {tables, encoding, limits}  →           makes views, runs
 *                                     ←     progress {percent}               now and then, where asked for
 *                                     ←     columns {columns, parameters}
 *                                     ←     rows …                            held back by the socket
 *                                     ←     done {rows, bytes, truncated}     or failed, at any time
 *     cancel                          →           interrupts: failed follows
 */
export type ToChild =
  | { readonly type: 'start'; readonly options: ChildOptions }
  | { readonly type: 'prepare'; readonly sql: string; readonly params: readonly WireParam[]; readonly lake: LakeNames }
  | {
      readonly type: 'run';
      readonly lake: SentLake;
      readonly encoding: Encoding;
      readonly limits: Limits;
      readonly only: 'run' | 'describe';
      readonly tellsProgress: boolean;
    }
  | { readonly type: 'abandon' }
  | { readonly type: 'cancel' };

export type FromChild =
  | { readonly type: 'ready' }
  | { readonly type: 'prepared'; readonly tables: readonly AskedTable[]; readonly introspects: boolean }
  | { readonly type: 'progress'; readonly percent?: number }
  | { readonly type: 'columns'; readonly columns: readonly ResultColumn[]; readonly parameters: readonly string[] }
  | { readonly type: 'done'; readonly summary: Omit<ResultSummary, 'elapsedMs'> }
  | { readonly type: 'failed'; readonly error: WireError };

export interface ChildOptions {
  readonly memoryBytes: number;
  readonly threads: number;
  /** Folders DuckDB may read. */
  readonly readable: readonly string[];
  /** Where it may spill, a folder of this child's own. */
  readonly tempDir: string;
  readonly tempBytesMax: number;
}

/** Names by schema, in the order of the search path. */
export type LakeNames = readonly { readonly schema: string; readonly names: readonly string[] }[];

/** JSON has no bigint: it travels as text. */
export type WireParam = Exclude<Param, bigint> | { readonly bigint: string };

/** A table the statement asks. */
export interface AskedTable {
  readonly schema: string;
  readonly name: string;
  readonly filter?: Filter;
  /** A snapshot other than the current one; then the statement calls the table `<name>@<number>`. */
  readonly travel?:
    | { readonly number: number; readonly snapshotId: string }
    | { readonly number: number; readonly asOfMs: number };
}

/** What a statement may see: made in this order, helpers and views by their definitions in `views.ts`. */
export interface SentLake {
  readonly tables: readonly SentTable[];
  readonly helpers: readonly { readonly name: HelperName; readonly key: string; readonly reads: Reads }[];
  readonly views: readonly {
    readonly name: string;
    readonly of: TableName;
    readonly key: string;
    readonly reads: Reads;
  }[];
}

/** Which store view stands for a table: itself, or `posts@1` for an older snapshot. */
export type Reads = Readonly<Record<string, string>>;

/** A table of schema store. */
export interface SentTable {
  /** Name of the view: that of the table, or `posts@1`. */
  readonly name: string;
  /** Names this very content: the child keeps the view (and what was computed from it) while the key stays. */
  readonly key: string;
  /** Left out where the child has the view of that key. */
  readonly content?: { readonly columns: readonly SentColumn[]; readonly files: readonly SentFile[] };
}

export interface SentColumn {
  readonly id: number;
  readonly name: string;
  /** DuckDB's type. */
  readonly type: string;
}

export interface SentFile {
  /** On the local disk. */
  readonly path: string;
  /** Position deletes that apply to it, with the path the delete files call it by. */
  readonly deletes?: { readonly calledBy: string; readonly files: readonly string[] };
}

export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly context: ErrorContext;
}

export const frameKinds = { json: 0, rows: 1 } as const;
const headerBytes = 5;
/** Larger frames are a sign of a child gone mad. */
const frameBytesMax = 1024 ** 3;

export function encodeFrame(kind: 0 | 1, length: number): Buffer {
  const header = Buffer.allocUnsafe(headerBytes);
  header.writeUInt32LE(length + 1, 0);
  header[4] = kind;
  return header;
}

export function sendMessage(socket: Socket, message: ToChild | FromChild): void {
  const body = Buffer.from(JSON.stringify(message));
  socket.write(Buffer.concat([encodeFrame(frameKinds.json, body.length), body]));
}

/** Puts the pieces of a stream together to frames. Returns false when what came cannot be a frame. */
export function frameReader(onFrame: (kind: number, body: Buffer) => void): (piece: Buffer) => boolean {
  let pieces: Buffer[] = [];
  let held = 0;
  return (piece) => {
    pieces.push(piece);
    held += piece.length;
    let wanted = frameLength(pieces);
    if (wanted === undefined || held < wanted) return wanted === undefined || wanted <= frameBytesMax;
    let bytes = pieces.length === 1 ? piece : Buffer.concat(pieces, held);
    while (wanted !== undefined && bytes.length >= wanted) {
      onFrame(bytes[4] ?? 0, bytes.subarray(headerBytes, wanted));
      bytes = bytes.subarray(wanted);
      wanted = frameLength([bytes]);
    }
    pieces = bytes.length === 0 ? [] : [bytes];
    held = bytes.length;
    return true;
  };
}

function frameLength(pieces: readonly Buffer[]): number | undefined {
  const [first, second] = pieces;
  if (first === undefined) return undefined;
  if (first.length >= 4) return first.readUInt32LE(0) + 4;
  if (second === undefined) return undefined;
  const start = Buffer.concat(pieces.slice(0, 8));
  return start.length >= 4 ? start.readUInt32LE(0) + 4 : undefined;
}
