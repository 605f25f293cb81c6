import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder, go, run } from './install.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, waitUntilReady } from './process.ts';

const versitygwVersion = 'v1.8.0';

export interface S3Service extends AsyncDisposable {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** A bucket that is there, with nothing in it. */
  readonly bucket: string;
  /** Makes another one. */
  makeBucket(name: string): Promise<void>;
  readonly pid: number;
  stop(): Promise<void>;
}

/** An S3 server: versitygw over a folder of its own, which must lie on a file system with extended attributes. */
export async function startS3(): Promise<S3Service> {
  const binary = join(await versitygw(), 'versitygw');
  const folder = await temporaryFolder('s3');
  const [port = 0] = await freePorts(1);
  const [accessKey, secretKey] = ['watershed', randomBytes(16).toString('hex')];
  const root = join(folder, 'buckets');
  const makeBucket = async (name: string): Promise<void> => void (await mkdir(join(root, name), { recursive: true }));
  await makeBucket('lake');
  const process = await startProcess({
    command: binary,
    args: ['--port', `127.0.0.1:${port}`, '--health', '/health', '--quiet', 'posix', root],
    env: { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey },
    folder,
  });
  const endpoint = `http://127.0.0.1:${port}`;
  await waitUntilReady('versitygw', { folder, process, timeoutMs: 120_000 }, async () =>
    (await fetch(`${endpoint}/health`)).ok ? true : undefined);
  const stop = async (): Promise<void> => {
    await process.kill();
    await removeFolder(folder);
  };
  return { endpoint, region: 'us-east-1', accessKey, secretKey, bucket: 'lake', makeBucket, pid: process.pid, stop, [Symbol.asyncDispose]: stop };
}

function versitygw(): Promise<string> {
  return cachedFolder(`versitygw-${versitygwVersion}`, async (folder) => {
    await run(await go(), ['install', `github.com/versity/versitygw/cmd/versitygw@${versitygwVersion}`], { env: { GOBIN: folder, GOFLAGS: '' } });
  });
}
