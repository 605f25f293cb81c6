import type { FastifyRequest } from 'fastify';
import { WatershedError } from '#core/errors.ts';
import type { Encoding } from '../engine/engine.ts';

/** How a result may be had over HTTP. */
export interface Format {
  readonly name: string;
  readonly encoding: Encoding;
  readonly mediaType: string;
  readonly contentType: string;
}

export const formats: readonly Format[] = [
  { name: 'json', encoding: 'json', mediaType: 'application/json', contentType: 'application/json; charset=utf-8' },
  {
    name: 'ndjson',
    encoding: 'ndjson',
    mediaType: 'application/x-ndjson',
    contentType: 'application/x-ndjson; charset=utf-8',
  },
  { name: 'csv', encoding: 'csv', mediaType: 'text/csv', contentType: 'text/csv; charset=utf-8; header=present' },
  {
    name: 'arrow',
    encoding: 'arrow',
    mediaType: 'application/vnd.apache.arrow.stream',
    contentType: 'application/vnd.apache.arrow.stream',
  },
  {
    name: 'parquet',
    encoding: 'parquet',
    mediaType: 'application/vnd.apache.parquet',
    contentType: 'application/vnd.apache.parquet',
  },
];

/** A format by its name; JSON where there is none of that name. */
export function formatNamed(name: string): Format {
  return formats.find((format) => format.name === name) ?? jsonFormat;
}

/**
 * The format a request asks for: `?format=`, else the first of Accept that we have, else JSON. `bad_request` for an
 * unknown one.
 */
export function formatOf(request: FastifyRequest): Format {
  const asked = new URLSearchParams(request.url.split('?')[1] ?? '').get('format');
  const names = formats.map(({ name }) => name).join(', ');
  if (asked !== null) {
    const found = formats.find(({ name }) => name === asked.toLowerCase());
    if (found !== undefined) return found;
    throw new WatershedError('bad_request', `there is no format ${asked}`, { hint: `Formats are ${names}.` });
  }
  for (const type of acceptedTypes(request.headers.accept ?? '')) {
    if (type === '*/*' || type === 'application/*') break;
    const found = formats.find(({ mediaType }) => mediaType === type);
    if (found !== undefined) return found;
  }
  return jsonFormat;
}

const jsonFormat: Format = formats[0] ?? {
  name: 'json',
  encoding: 'json',
  mediaType: 'application/json',
  contentType: 'application/json',
};

/** Media types of an Accept header, the most wanted first (RFC 9110 §12.5.1). */
function acceptedTypes(header: string): string[] {
  const entries = header.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    return { type, quality: quality === undefined ? 1 : Number(quality) };
  });
  return entries
    .filter(({ type, quality }) => type !== '' && quality > 0)
    .toSorted((a, b) => b.quality - a.quality)
    .map(({ type }) => type);
}
