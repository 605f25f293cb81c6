import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3';
import { diskError } from '../../disk.ts';
import { isMissing } from './errors.ts';

/** Up to here a file goes in one request. The smallest part that S3 allows is 5 MiB, the largest number 10,000. */
const singleBytesMax = 16 * 1024 * 1024;
const partBytesMin = 8 * 1024 * 1024;
const partsMax = 10_000;
const partsAtOnce = 3;

interface Target {
  readonly Bucket: string;
  readonly Key: string;
}

/** Uploads a local file: in one request, or in parts of which each is tried again by itself. */
export async function uploadFile(client: S3Client, target: Target, path: string): Promise<void> {
  const file = await open(path).catch((error: unknown) => {
    throw diskError(error, 'read', path);
  });
  try {
    const { size } = await file.stat();
    if (size <= singleBytesMax)
      await client.send(new PutObjectCommand({ ...target, Body: await readPart(file, 0, size) }));
    else await uploadParts(client, target, file, size);
  } finally {
    await file.close();
  }
}

async function uploadParts(client: S3Client, target: Target, file: FileHandle, size: number): Promise<void> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target));
  const upload = { ...target, UploadId };
  const partBytes = Math.max(partBytesMin, Math.ceil(size / partsMax));
  const parts: CompletedPart[] = [];
  const numbers = Array.from({ length: Math.ceil(size / partBytes) }, (_, index) => index + 1).values();
  const work = async (): Promise<void> => {
    for (const PartNumber of numbers) {
      const start = (PartNumber - 1) * partBytes;
      const Body = await readPart(file, start, Math.min(partBytes, size - start));
      const { ETag } = await client.send(new UploadPartCommand({ ...upload, PartNumber, Body }));
      parts.push({ PartNumber, ETag });
    }
  };
  try {
    await Promise.all(Array.from({ length: partsAtOnce }, work));
    parts.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts } }));
  } catch (error) {
    // When the answer to the completion was lost, the client's second try hears that there is no such upload.
    if (await isThere(client, target, size)) return;
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    throw error;
  }
}

async function isThere(client: S3Client, target: Target, size: number): Promise<boolean> {
  try {
    return (await client.send(new HeadObjectCommand(target))).ContentLength === size;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function readPart(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const part = Buffer.allocUnsafe(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await file.read(part, at, length - at, start + at);
    if (bytesRead === 0) throw new RangeError('the file became shorter while it was read');
    at += bytesRead;
  }
  return part;
}
