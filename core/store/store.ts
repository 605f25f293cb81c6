/**
 * Immutable objects under keys such as `store/posts/data/0001.parquet`: no leading slash, no empty segment, and no `%`
 * in what is made here (what other engines made with one is read and deleted all the same).
 *
 * - `put` and `putIfAbsent` are atomic and durable: a reader sees the whole object or none.
 * - Objects are written once; overwriting with other bytes is allowed by `put` but nothing here does it.
 * - **Errors**: `not_found`, `disk` (no space, no permission), `unavailable` (retryable).
 */
export interface Store {
  /**
   * Where the store begins, as Iceberg paths name it, with scheme and without trailing slash: `file:///data/lake`,
   * `s3://bucket/prefix`.
   */
  readonly uri: string;
  /** The bytes, or those from `start` up to and without `end`, as far as there are any. */
  get(key: string, range?: { readonly start: number; readonly end: number }): Promise<Uint8Array>;
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** Moves a file that was written on the local disk into the store (the local one is gone afterwards). */
  putFile(key: string, localPath: string): Promise<void>;
  /** True if this call made the object, false if there was one already. */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<boolean>;
  /** Size in bytes, or undefined where there is no such object. */
  size(key: string): Promise<number | undefined>;
  /** Every object whose key begins with `prefix` (which need not end at a slash), in no particular order. */
  list(prefix: string): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly modifiedAtMs: number }>;
  /** Deleting what is not there is no error. */
  delete(key: string): Promise<void>;
  /** A path on the local disk that holds the object's bytes (the object itself, or a cached copy). */
  localPath(key: string): Promise<string>;
}

/** The key of a full Iceberg path, which must lie in the store; `file:/x` and `file:///x` are the same place. */
export function keyOf(store: Store, path: string): string | undefined {
  const canonical = canonicalPath(path);
  const root = `${canonicalPath(store.uri)}/`;
  return canonical.startsWith(root) ? canonical.slice(root.length) : undefined;
}

/**
 * One spelling for paths that engines spell differently (`file:/x` by Spark, `s3a://` by Hadoop). For comparing only.
 */
export function canonicalPath(path: string): string {
  return path.replace(/^file:\/+/, 'file:///').replace(/^s3[an]:\/\//, 's3://');
}
