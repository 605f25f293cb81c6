import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeFolder, temporaryFolder } from '../services/process.ts';

export interface StrangeServer extends AsyncDisposable {
  /** host:port on loopback. */
  readonly address: string;
  /** Requests that came through in spite of the certificate. */
  readonly requests: () => number;
}

/** A TLS server with a certificate that nobody vouches for. */
export async function startStrangeServer(): Promise<StrangeServer> {
  const folder = await temporaryFolder('certificate');
  const [keyFile, certificateFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', keyFile, '-out', certificateFile]);
  let requests = 0;
  const server: Server = createServer({ key: await readFile(keyFile), cert: await readFile(certificateFile) }, (_request, response) => {
    requests++;
    response.writeHead(200).end('{}');
  });
  await removeFolder(folder);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    address: `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
