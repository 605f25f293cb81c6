import { buffer } from 'node:stream/consumers';
import { crc32, createDeflate } from 'node:zlib';

/**
 * A PNG of opaque pixels, 8 bits each of red, green and blue (PNG 3rd edition, colour type 2), from bytes of red,
 * green, blue and alpha. Without alpha a PDF takes the compressed bytes as they are; with it, it would have to unpack
 * every picture and hold it in full: measured, 115 MB for eight charts.
 */
export async function opaquePng(pixels: Buffer, width: number, height: number): Promise<Buffer> {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = await deflated(pixels, width, height);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))]);
}

const linesAtOnce = 64;

/** The lines one after the other through one small buffer: the collector of garbage does not see large ones in time. */
async function deflated(pixels: Buffer, width: number, height: number): Promise<Buffer> {
  const stride = 1 + width * 3;
  const lines = Buffer.alloc(stride * linesAtOnce);
  const stream = createDeflate();
  const done = buffer(stream);
  for (let first = 0; first < height; first += linesAtOnce) {
    const count = Math.min(linesAtOnce, height - first);
    for (let line = 0; line < count; line++) {
      // Each line begins with its filter: 0, none.
      let to = line * stride + 1;
      const begin = (first + line) * width * 4;
      for (let from = begin; from < begin + width * 4; from += 4) {
        lines[to++] = pixels[from] ?? 0;
        lines[to++] = pixels[from + 1] ?? 0;
        lines[to++] = pixels[from + 2] ?? 0;
      }
    }
    // Called back when it was read: then it may be written over.
    await new Promise<void>((resolve, reject) => void stream.write(lines.subarray(0, count * stride), (error) => (error ? reject(error) : resolve())));
  }
  stream.end();
  return await done;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  whole.set(body, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}
