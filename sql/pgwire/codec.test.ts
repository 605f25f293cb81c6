import fc from 'fast-check';
import { isWatershedError } from '#core/errors.ts';
import { FrontendDecoder, type FrontendMessage } from './codec.ts';

const limits = { loginBytesMax: 10_000, messageBytesMax: 1 << 20 };

// Built by hand after the message formats of the PostgreSQL documentation, not by our own encoder.
const int16 = (value: number): number[] => [(value >> 8) & 255, value & 255];
const int32 = (value: number): number[] => [(value >> 24) & 255, (value >> 16) & 255, (value >> 8) & 255, value & 255];
const text = (value: string): number[] => [...Buffer.from(value), 0];
const frame = (tag: string, body: number[]): Buffer => Buffer.from([...Buffer.from(tag), ...int32(body.length + 4), ...body]);

const name = fc.stringMatching(/^[a-zé😀_0-9]{0,12}$/u);
const sql = fc.string({ unit: 'grapheme', maxLength: 60 }).map((value) => value.replaceAll('\0', ''));
const value = fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)));
const format = fc.constantFrom(0 as const, 1 as const);

/** A message and its bytes. */
const message: fc.Arbitrary<{ message: FrontendMessage; bytes: Buffer }> = fc.oneof(
  sql.map((query) => ({ message: { type: 'query' as const, sql: query }, bytes: frame('Q', text(query)) })),
  fc.tuple(name, sql, fc.array(fc.nat(0xffffffff), { maxLength: 5 })).map(([statement, query, oids]) => ({
    message: { type: 'parse' as const, name: statement, sql: query, oids },
    bytes: frame('P', [...text(statement), ...text(query), ...int16(oids.length), ...oids.flatMap(int32)]),
  })),
  fc.tuple(name, name, fc.array(fc.tuple(value, format), { maxLength: 5 }), fc.array(format, { maxLength: 4 })).map(
    ([portal, statement, pairs, resultFormats]) => ({
      message: { type: 'bind' as const, portal, statement, resultFormats, values: pairs.map(([bytes]) => bytes), formats: pairs.map(([, code]) => code) },
      bytes: frame('B', [
        ...text(portal), ...text(statement), ...int16(pairs.length), ...pairs.flatMap(([, code]) => int16(code)), ...int16(pairs.length),
        ...pairs.flatMap(([bytes]) => (bytes === null ? int32(-1) : [...int32(bytes.length), ...bytes])),
        ...int16(resultFormats.length), ...resultFormats.flatMap(int16),
      ]),
    })),
  fc.tuple(name, fc.nat(1000)).map(([portal, rowsMax]) => ({
    message: { type: 'execute' as const, portal, rowsMax }, bytes: frame('E', [...text(portal), ...int32(rowsMax)]),
  })),
  fc.tuple(fc.constantFrom('describe' as const, 'close' as const), fc.boolean(), name).map(([type, isPortal, target]) => ({
    message: { type, target: isPortal ? 'portal' as const : 'statement' as const, name: target },
    bytes: frame(type === 'describe' ? 'D' : 'C', [...Buffer.from(isPortal ? 'P' : 'S'), ...text(target)]),
  })),
  fc.constantFrom(['H', 'flush'], ['S', 'sync'], ['X', 'terminate']).map(([tag = '', type]) => ({
    message: { type } as FrontendMessage, bytes: frame(tag, []),
  })),
);

function drain(decoder: FrontendDecoder): FrontendMessage[] {
  const found: FrontendMessage[] = [];
  for (let next = decoder.next(); next !== undefined; next = decoder.next()) found.push(next);
  return found;
}

test('messages come out as they went in, however the network cut them', () => {
  fc.assert(fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (messages, cuts) => {
    const decoder = new FrontendDecoder(limits);
    const bytes = Buffer.concat(messages.map((entry) => entry.bytes));
    const found: FrontendMessage[] = [];
    for (let at = 0, cut = 0; at < bytes.length; cut++) {
      const size = cuts[cut % cuts.length] ?? 1;
      decoder.push(bytes.subarray(at, at + size));
      at += size;
      found.push(...drain(decoder));
    }
    expect(found).toEqual(messages.map((entry) => entry.message));
    expect(decoder.bufferedBytes).toBe(0);
  }), { numRuns: 300 });
});

test('no bytes whatever make it fail but by a refusal of its own, and a well-framed body never loses the stream', () => {
  const tagged = fc.tuple(fc.constantFrom(...'QPBDECHSXpdcfF'), fc.uint8Array({ maxLength: 60 }))
    .map(([tag, body]) => frame(tag, [...body]));
  const noise = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
  fc.assert(fc.property(fc.array(tagged, { maxLength: 5 }), noise, (frames, rest) => {
    const decoder = new FrontendDecoder(limits);
    for (const bytes of frames) decoder.push(bytes);
    expect(drain(decoder)).toHaveLength(frames.length);
    decoder.push(rest);
    try {
      drain(decoder);
      decoder.nextStartup();
    } catch (error) {
      expect(isWatershedError(error, 'bad_request')).toBe(true);
    }
  }), { numRuns: 3000 });
});

test('a mutated stream of good messages does neither crash nor hang', () => {
  fc.assert(fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
    (messages, changes) => {
      const bytes = Buffer.concat(messages.map((entry) => entry.bytes));
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      const decoder = new FrontendDecoder(limits);
      decoder.push(bytes);
      try {
        expect(drain(decoder).length).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(isWatershedError(error)).toBe(true);
      }
    }), { numRuns: 2000 });
});

test.each([
  ['a length below four', Buffer.from([...Buffer.from('Q'), ...int32(3)])],
  ['a length above the limit', Buffer.from([...Buffer.from('Q'), ...int32(limits.messageBytesMax + 1)])],
  ['a negative length', Buffer.from([...Buffer.from('Q'), ...int32(-5)])],
  ['a type that there is not', frame('z', [])],
])('%s ends the stream at once, before anything is held', (_what, bytes) => {
  const decoder = new FrontendDecoder(limits);
  decoder.push(bytes);
  expect(() => decoder.next()).toThrow(/message/);
});

test('what is right in frame and wrong in body is told, and the next message is read', () => {
  const decoder = new FrontendDecoder(limits);
  decoder.push(frame('Q', [0xff, 0xfe, 0]));
  decoder.push(frame('B', [0, 0, 0, 9]));
  decoder.push(frame('E', [0, 0]));
  decoder.push(frame('S', []));
  expect(drain(decoder).map((entry) => (entry.type === 'malformed' ? [entry.simple, entry.error.context['sqlstate']] : entry.type)))
    .toEqual([[true, '22021'], [false, '08P01'], [false, '08P01'], 'sync']);
});

test('startup: version, parameters, and the requests that come instead', () => {
  const packet = (body: number[]): FrontendDecoder => {
    const decoder = new FrontendDecoder(limits);
    decoder.push(Buffer.from([...int32(body.length + 4), ...body]));
    return decoder;
  };
  expect(packet([...int32(196610), ...text('user'), ...text('ana'), ...text('database'), ...text('lake'), 0]).nextStartup())
    .toEqual({ type: 'startup', minor: 2, parameters: new Map([['user', 'ana'], ['database', 'lake']]) });
  expect(packet(int32(80877103)).nextStartup()).toEqual({ type: 'tls' });
  expect(packet(int32(80877104)).nextStartup()).toEqual({ type: 'gss' });
  expect(packet([...int32(80877102), ...int32(7), 1, 2, 3, 4]).nextStartup()).toEqual({ type: 'cancel', pid: 7, key: Buffer.from([1, 2, 3, 4]) });
  expect(() => packet([...int32(131072), 0]).nextStartup()).toThrow(/unsupported frontend protocol 2.0/);
  expect(() => packet([...int32(196608), 1, 2, 3]).nextStartup()).toThrow(/invalid message format/);
  const long = new FrontendDecoder(limits);
  long.push(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
  expect(() => long.nextStartup()).toThrow(/startup packet/);
});
