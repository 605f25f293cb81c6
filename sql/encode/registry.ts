import type { Encoding } from '../engine/engine.ts';
import type { EncoderFactory } from './encoder.ts';

/**
 * The encoder of each encoding. Loaded inside the engine's child process, and only the one that a statement asks for, so
 * that a door's encoder may lean on what it likes.
 */
export async function encoderFor(encoding: Encoding): Promise<EncoderFactory | undefined> {
  return await loaders[encoding]?.();
}

const loaders: Partial<Record<Encoding, () => Promise<EncoderFactory>>> = {
  json: async () => (await import('./json.ts')).jsonEncoder,
  ndjson: async () => (await import('./json.ts')).ndjsonEncoder,
  csv: async () => (await import('./csv.ts')).csvEncoder,
};
