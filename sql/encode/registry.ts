import type { Encoding } from '../engine/engine.ts';
import type { EncoderFactory } from './encoder.ts';

/**
 * The encoder of each encoding. Loaded inside the engine's child process, and only the one that a statement asks for,
 * so that a door's encoder may lean on what it likes.
 */
export async function encoderFor(encoding: Encoding): Promise<EncoderFactory | undefined> {
  const formats = /^pg\.mixed:([01]+)$/.exec(encoding)?.[1];
  if (formats !== undefined) return (await import('../pgwire/encode-rows.ts')).pgMixedEncoder(formats);
  return await loaders[encoding]?.();
}

const loaders: Partial<Record<Encoding, () => Promise<EncoderFactory>>> = {
  json: async () => (await import('./json.ts')).jsonEncoder,
  ndjson: async () => (await import('./json.ts')).ndjsonEncoder,
  csv: async () => (await import('./csv.ts')).csvEncoder,
  arrow: async () => (await import('./arrow.ts')).arrowEncoder,
  'pg.text': async () => (await import('../pgwire/encode-rows.ts')).pgTextEncoder,
  'pg.binary': async () => (await import('../pgwire/encode-rows.ts')).pgBinaryEncoder,
};
