import { WatershedError } from '#core/errors.ts';

interface SourceJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}

// The compiler's library does not know `context.source` yet; Node has it since 21.
const sourceJson = JSON as unknown as SourceJson;

/**
 * Parses JSON; integers that a number does not hold become bigint. The slow way (seven times slower) is only taken
 * where there is a number of 16 digits or more. `bad_request` for what is no JSON, or has a key `__proto__`.
 */
export function parseLossless(text: string): unknown {
  try {
    if (text.includes('__proto__')) refuseProto(JSON.parse(text));
    if (!/\d{16}/.test(text)) return JSON.parse(text);
    return sourceJson.parse(text, (_key, value, { source }) =>
      typeof value === 'number' &&
      source !== undefined &&
      Number.isInteger(value) &&
      !Number.isSafeInteger(value) &&
      /^-?\d+$/.test(source)
        ? BigInt(source)
        : value,
    );
  } catch (cause) {
    throw new WatershedError('bad_request', 'the body is not JSON', {
      cause,
      hint: 'Send {"sql": "…"} with content type application/json.',
    });
  }
}

function refuseProto(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (Object.hasOwn(value, '__proto__')) throw new WatershedError('bad_request', 'a key cannot be __proto__');
  for (const member of Object.values(value)) refuseProto(member);
}
