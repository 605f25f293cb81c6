/**
 * Malformed frames against the wire's codec, by the million: none may make it throw anything but its own refusal, keep bytes it
 * should not, or take long. `node bench/wire-fuzz.ts [frames] [seed]` prints a line of JSON; a failing seed belongs into codec.test.ts.
 */
import { seededRandom } from '#core/clock.ts';
import { isWatershedError } from '#core/errors.ts';
import { FrontendDecoder } from '#sql/pgwire/codec.ts';

const frames = Number(process.argv[2] ?? 3_000_000);
const seed = Number(process.argv[3] ?? 1);
const random = seededRandom(seed);
const limits = { loginBytesMax: 10_000, messageBytesMax: 1 << 20 };
const tags = Buffer.from('QPBDECHSXpdcfFz\0');
const startedMs = performance.now();
const heapBefore = process.memoryUsage().heapUsed;
const counts = { messages: 0, malformed: 0, refused: 0 };

let decoder = new FrontendDecoder(limits);
for (let frame = 0; frame < frames; frame++) {
  const length = Math.floor(random() * 40);
  const bytes = Buffer.alloc(length + 5);
  bytes[0] = tags[Math.floor(random() * tags.length)] ?? 0;
  // Mostly true lengths, so that bodies are reached; now and then any number at all.
  bytes.writeInt32BE(random() < 0.98 ? length + 4 : Math.floor(random() * 2 ** 32) | 0, 1);
  for (let at = 5; at < bytes.length; at++) bytes[at] = random() < 0.4 ? 0 : Math.floor(random() * 256);
  const cut = Math.floor(random() * bytes.length);
  decoder.push(bytes.subarray(0, cut));
  decoder.push(bytes.subarray(cut));
  try {
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
      if (message.type === 'malformed') counts.malformed++;
      else counts.messages++;
    }
    if (decoder.bufferedBytes > limits.messageBytesMax + 64) throw new Error(`seed ${seed}, frame ${frame}: ${decoder.bufferedBytes} bytes are kept`);
  } catch (error) {
    if (!isWatershedError(error, 'bad_request')) throw new Error(`seed ${seed}, frame ${frame}`, { cause: error });
    counts.refused++;
    decoder = new FrontendDecoder(limits);
  }
}
console.log(JSON.stringify({
  bench: 'wire-fuzz', frames, seed, ...counts, framesPerSecond: Math.round(frames / (performance.now() - startedMs) * 1000),
  grownMb: Math.round((process.memoryUsage().heapUsed - heapBefore) / 2 ** 20), node: process.version,
}));
