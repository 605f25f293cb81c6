import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Clock } from '../../clock.ts';
import { WatershedError, isWatershedError } from '../../errors.ts';
import { checkKey, checkNewKey, noSuchObject } from '../keys.ts';
import type { Store } from '../store.ts';
import { FileCache } from './cache.ts';
import { attemptsOf, explain, isDiskError, isMissing, nameOf, statusOf } from './errors.ts';
import type { Place } from './errors.ts';
import { uploadFile } from './upload.ts';

export interface S3StoreOptions {
  /** s3://bucket/prefix */
  readonly uri: string;
  readonly region: string;
  /** Address of a store other than AWS. */
  readonly endpoint?: string;
  /** The bucket stands in the path instead of the host name. */
  readonly pathStyle?: boolean;
  /** Without keys the usual AWS chain is asked. */
  readonly keys?: { readonly accessKey: string; readonly secretKey: string };
  /** Where copies of objects are kept for those who want a file. */
  readonly cache: { readonly folder: string; readonly bytesMax: number };
  readonly clock: Clock;
  /** Longest silence of the store within a request. Default 30 s. */
  readonly timeoutMs?: number;
}

/** How often a request is tried in all, with growing pauses: about five seconds of a store that says 503. */
const attemptsMax = 6;

/**
 * The store in a bucket of S3 or of what speaks like it. Looks at the store first: refuses one that is not there, that
 * does not let us in, or that overwrites in spite of `If-None-Match`, because two writers could then both win.
 *
 * Errors: `bad_config`, `unauthorized`, `forbidden`, `unsupported` when opening; those of the port later.
 */
export async function openS3Store(options: S3StoreOptions): Promise<Store & AsyncDisposable> {
  const { bucket, prefix } = parseUri(options.uri);
  const client = createClient(options);
  const cache = await FileCache.open({ ...options.cache, clock: options.clock });
  const bucketStore = new Bucket(client, { bucket, region: options.region, endpoint: options.endpoint }, prefix, cache);
  try {
    await bucketStore.check();
  } catch (error) {
    client.destroy();
    throw error;
  }
  return {
    uri: prefix === '' ? `s3://${bucket}` : `s3://${bucket}/${prefix.slice(0, -1)}`,
    get: (key, range) => bucketStore.get(key, range),
    put: (key, bytes) => bucketStore.put(key, bytes),
    putFile: (key, localPath) => bucketStore.putFile(key, localPath),
    putIfAbsent: (key, bytes) => bucketStore.putIfAbsent(key, bytes),
    size: (key) => bucketStore.size(key),
    list: (keyPrefix) => bucketStore.list(keyPrefix),
    delete: (key) => bucketStore.delete(key),
    localPath: (key) => bucketStore.localPath(key),
    async [Symbol.asyncDispose]() {
      client.destroy();
    },
  };
}

function parseUri(uri: string): { bucket: string; prefix: string } {
  const found = /^s3[an]?:\/\/([^/]+)\/?(.*?)\/*$/.exec(uri);
  if (found?.[1] === undefined) {
    throw new WatershedError('bad_config', `WAREHOUSE_URI cannot be ${JSON.stringify(uri)}`, {
      hint: 'it is s3://bucket or s3://bucket/prefix',
    });
  }
  const prefix = found[2] === undefined || found[2] === '' ? '' : `${found[2]}/`;
  if (prefix !== '') checkKey(prefix.slice(0, -1));
  return { bucket: found[1], prefix };
}

function createClient(options: S3StoreOptions): S3Client {
  const { region, endpoint, pathStyle = false, keys, timeoutMs = 30_000 } = options;
  return new S3Client({
    region,
    forcePathStyle: pathStyle,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(keys === undefined ? {} : { credentials: { accessKeyId: keys.accessKey, secretAccessKey: keys.secretKey } }),
    maxAttempts: attemptsMax,
    retryMode: 'standard',
    // Other stores than AWS do not know the checksums that the client would add by default.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // No limit on a whole request: eight megabytes may take their time on a slow line, as long as bytes flow.
    requestHandler: { connectionTimeout: Math.min(5000, timeoutMs), socketTimeout: timeoutMs },
  });
}

class Bucket {
  readonly #client: S3Client;
  readonly #place: Place;
  readonly #prefix: string;
  readonly #cache: FileCache;

  constructor(client: S3Client, place: Place, prefix: string, cache: FileCache) {
    this.#client = client;
    this.#place = place;
    this.#prefix = prefix;
    this.#cache = cache;
  }

  /** Refuses a store that we could not rely on. */
  async check(): Promise<void> {
    await this.#ask('look at the store', () =>
      this.#client.send(new ListObjectsV2Command({ Bucket: this.#place.bucket, Prefix: this.#prefix, MaxKeys: 1 })),
    );
    const probe = `watershed-probe-${randomUUID()}`;
    const unsupported = (cause?: unknown): WatershedError =>
      new WatershedError('unsupported', `the object store does not honour If-None-Match: two writers could both win`, {
        cause,
        hint: 'use a store with conditional writes: AWS S3, MinIO, Ceph, R2, versitygw',
      });
    try {
      await this.putIfAbsent(probe, Buffer.from('1'));
      if (await this.putIfAbsent(probe, Buffer.from('2'))) throw unsupported();
    } catch (error) {
      if (isWatershedError(error) && error.context['status'] === 501) throw unsupported(error);
      throw error;
    } finally {
      await this.delete(probe).catch(() => undefined);
    }
  }

  async get(key: string, range?: { readonly start: number; readonly end: number }): Promise<Uint8Array> {
    const target = this.#target(key);
    if (range !== undefined && range.end <= range.start) return new Uint8Array();
    const Range = range === undefined ? undefined : `bytes=${range.start}-${range.end - 1}`;
    return this.#ask(`read ${key}`, async () => {
      // The client tries requests again, but not a body that is cut off in the middle.
      for (let attempt = 1; ; attempt++) {
        try {
          const { Body } = await this.#client.send(
            new GetObjectCommand({ ...target, ...(Range === undefined ? {} : { Range }) }),
          );
          return await (Body?.transformToByteArray() ?? new Uint8Array());
        } catch (error) {
          if (isMissing(error)) throw noSuchObject(key, error);
          if (statusOf(error) === 416) return new Uint8Array();
          if (!isCut(error) || attempt >= attemptsMax) throw error;
        }
      }
    });
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    checkNewKey(key);
    const target = this.#target(key);
    await this.#cache.forget(this.#copyOf(key));
    await this.#ask(`write ${key}`, () => this.#client.send(new PutObjectCommand({ ...target, Body: bytes })));
  }

  async putFile(key: string, localPath: string): Promise<void> {
    checkNewKey(key);
    const target = this.#target(key);
    await this.#ask(`write ${key}`, () => uploadFile(this.#client, target, localPath));
    // Who wrote a file is likely to be asked for it next.
    if (!(await this.#cache.adopt(this.#copyOf(key), localPath))) await rm(localPath);
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<boolean> {
    checkNewKey(key);
    // The mark tells our own object from another's when the answer to the first try was lost.
    const mark = randomUUID();
    const command = { ...this.#target(key), Body: bytes, IfNoneMatch: '*', Metadata: { 'watershed-writer': mark } };
    return this.#ask(`write ${key}`, async () => {
      for (let lost = false; ; lost = true) {
        try {
          await this.#client.send(new PutObjectCommand(command));
          return true;
        } catch (error) {
          if (statusOf(error) === 412) return (lost || attemptsOf(error) > 1) && (await this.#isMarked(key, mark));
          // Two conditional writes at the same moment: the store asks for the request to be made again.
          if (nameOf(error) !== 'ConditionalRequestConflict' || lost) throw error;
        }
      }
    });
  }

  async #isMarked(key: string, mark: string): Promise<boolean> {
    const { Metadata } = await this.#client.send(new HeadObjectCommand(this.#target(key)));
    return Metadata?.['watershed-writer'] === mark;
  }

  async size(key: string): Promise<number | undefined> {
    const target = this.#target(key);
    return this.#ask(`look at ${key}`, async () => {
      try {
        return (await this.#client.send(new HeadObjectCommand(target))).ContentLength;
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  async *list(keyPrefix: string): AsyncIterable<{ key: string; bytes: number; modifiedAtMs: number }> {
    for (let token: string | undefined, more = true; more;) {
      const ContinuationToken = token === undefined ? {} : { ContinuationToken: token };
      const page = await this.#ask(`list ${keyPrefix}`, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#place.bucket,
            Prefix: `${this.#prefix}${keyPrefix}`,
            ...ContinuationToken,
          }),
        ),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        // Stores over a file system list folders as objects whose name ends with a slash.
        if (Key === undefined || Key.endsWith('/')) continue;
        yield { key: Key.slice(this.#prefix.length), bytes: Size ?? 0, modifiedAtMs: LastModified?.getTime() ?? 0 };
      }
      token = page.NextContinuationToken;
      more = page.IsTruncated === true && token !== undefined;
    }
  }

  async delete(key: string): Promise<void> {
    const target = this.#target(key);
    await this.#cache.forget(this.#copyOf(key));
    await this.#ask(`delete ${key}`, async () => {
      try {
        await this.#client.send(new DeleteObjectCommand(target));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    });
  }

  async localPath(key: string): Promise<string> {
    const target = this.#target(key);
    return this.#cache.get(this.#copyOf(key), (path, room) =>
      this.#ask(`read ${key}`, () => this.#download(key, target, path, room)),
    );
  }

  /** Writes an object to a file; a body that is cut off is gone on with where it ended. */
  async #download(
    key: string,
    target: { Bucket: string; Key: string },
    path: string,
    room: (bytes: number) => Promise<void>,
  ): Promise<void> {
    for (let attempt = 1, have = 0, etag: string | undefined, hasRoom = false; ; attempt++) {
      try {
        const rest = have === 0 ? {} : { Range: `bytes=${have}-`, ...(etag === undefined ? {} : { IfMatch: etag }) };
        const { Body, ETag, ContentLength = 0 } = await this.#client.send(new GetObjectCommand({ ...target, ...rest }));
        etag = ETag;
        if (!(Body instanceof Readable)) throw new TypeError('an answer without a body');
        if (!hasRoom) {
          await room(ContentLength).catch((error: unknown) => {
            Body.destroy();
            throw error;
          });
        }
        hasRoom = true;
        await pipeline(Body, createWriteStream(path, { flags: have === 0 ? 'w' : 'a' }));
        return;
      } catch (error) {
        if (isMissing(error)) throw noSuchObject(key, error);
        if (statusOf(error) === 416) return;
        if (!isCut(error) || attempt >= attemptsMax) throw error;
        have = await stat(path).then(
          ({ size }) => size,
          () => 0,
        );
      }
    }
  }

  #target(key: string): { Bucket: string; Key: string } {
    checkKey(key);
    return { Bucket: this.#place.bucket, Key: `${this.#prefix}${key}` };
  }

  /** The cache's key: one folder may serve several lakes. */
  #copyOf(key: string): string {
    return `${this.#place.bucket}/${this.#prefix}${key}`;
  }

  async #ask<T>(doing: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      throw explain(error, this.#place, doing);
    }
  }
}

/** True for an error of the connection itself: such have no status, because no answer came, or only half of one. */
function isCut(error: unknown): boolean {
  return (
    statusOf(error) === undefined &&
    !isWatershedError(error) &&
    !isDiskError(error) &&
    nameOf(error) !== 'CredentialsProviderError'
  );
}
