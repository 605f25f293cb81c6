import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { simpleParser, type ParsedMail } from 'mailparser';
import { SMTPServer } from 'smtp-server';

/** What a mail server makes of a mail: takes it, says "later", "never", or takes it and the answer is lost; or never answers. */
export type MailFate = 'take' | 'later' | 'never' | 'drop' | 'hang';

/** A mail server on loopback that does what the test says; mails are those it holds, whatever the sender was told. */
export interface Postbox extends AsyncDisposable {
  readonly url: string;
  readonly mails: ParsedMail[];
  /** By how many mails were offered, this one included. */
  fate: (offered: number, mail: ParsedMail) => MailFate;
}

export async function openPostbox(): Promise<Postbox> {
  let offered = 0;
  const mails: ParsedMail[] = [];
  const hanging = new Set<() => void>();
  const smtp = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'], logger: false,
    onData(stream, session, done) {
      simpleParser(stream).then((mail) => {
        const fate = box.fate(++offered, mail);
        if (fate === 'later' || fate === 'never') return done(Object.assign(new Error(fate), { responseCode: fate === 'later' ? 451 : 550 }));
        if (fate === 'hang') return void hanging.add(() => done(new Error('closing')));
        mails.push(mail);
        if (fate === 'take') return done();
        // Taken, but the answer is lost.
        for (const connection of smtp.connections) {
          if ('id' in connection && connection.id === session.id && '_socket' in connection) (connection as { _socket: { destroy(): void } })._socket.destroy();
        }
      }, done);
    },
  });
  smtp.on('error', () => undefined);
  await new Promise<void>((resolve) => smtp.listen(0, '127.0.0.1', resolve));
  const box: Postbox = {
    url: `smtp://127.0.0.1:${(smtp.server.address() as AddressInfo).port}`,
    mails,
    fate: () => 'take',
    async [Symbol.asyncDispose]() {
      for (const end of hanging) end();
      await new Promise<void>((resolve) => smtp.close(() => resolve()));
    },
  };
  return box;
}

export interface Call {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A webhook's receiver on loopback; `answer` says the status, or undefined to never answer. */
export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly calls: Call[];
  answer: (nth: number, call: Call, response: ServerResponse) => number | undefined;
}

export async function openReceiver(): Promise<Receiver> {
  const calls: Call[] = [];
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part)).on('end', () => {
      const call = { headers: request.headers, body: Buffer.concat(parts) };
      calls.push(call);
      const status = receiver.answer(calls.length, call, response);
      if (status !== undefined) response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`,
    calls,
    answer: () => 204,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return receiver;
}
