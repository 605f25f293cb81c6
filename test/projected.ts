import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type Json } from '@duckdb/node-api';
import type { PostFormat } from '#core/contract/envelope.ts';
import { tables } from '#core/contract/tables.ts';
import { duckType } from '#warehouse/encode.ts';
import { withParts } from '#warehouse/normalise/projection.ts';
import { projections } from '#warehouse/normalise/projections.ts';

type Row = Record<string, Json>;

/**
 * What the projection of a format makes of bodies: one row each, in their order, in the types of table posts. Read in
 * the way the writer reads: one record a line, what does not fit a type is null, a line that is no JSON is a row of
 * nulls.
 */
export async function projected(format: PostFormat, bodies: readonly (string | Uint8Array)[]): Promise<Row[]> {
  const projection = projections[format];
  const folder = await mkdtemp(join(tmpdir(), 'watershed-projected-'));
  const path = join(folder, 'posts.ndjson');
  const instance = await DuckDBInstance.create(':memory:');
  try {
    const lines = bodies.flatMap((body, index) =>
      [Buffer.from(`{"o":${index},"post":`), Buffer.from(oneLine(body)), Buffer.from('}\n')]);
    await writeFile(path, Buffer.concat(lines));
    const connection = await instance.connect();
    await connection.run("set timezone = 'UTC'");
    const columns = tables.posts.columns.filter(({ name }) => Object.hasOwn(projection.select, name));
    const select = columns.map(({ name, type }) => `(${projection.select[name] ?? ''})::${duckType(type)} as ${name}`);
    const reader = await connection.runAndReadAll(`select ${select.join(', ')} from ${withParts(projection, `read_json('${path}',
      format = 'newline_delimited', ignore_errors = true, maximum_object_size = 33554432,
      columns = {o: 'BIGINT', post: '${projection.postType.replaceAll("'", "''")}'})`)}`);
    const rows = reader.getRowObjectsJson();
    connection.closeSync();
    return rows;
  } finally {
    instance.closeSync();
    await rm(folder, { recursive: true });
  }
}

function oneLine(body: string | Uint8Array): string | Uint8Array {
  return typeof body === 'string' ? body.replaceAll(/[\r\n]/g, ' ') : body;
}
