import { createHmac } from 'node:crypto';
import { createTransport } from 'nodemailer';
import type { Clock } from '#core/clock.ts';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';

export interface Outgoing {
  readonly kind: 'file' | 'mail' | 'webhook' | 'store';
  readonly target: string;
  /** The same for every attempt: who receives it can tell that it is the same. */
  readonly key: string;
  readonly title: string;
  readonly fileName: string;
  readonly contentType: string;
  readonly bytes: Buffer;
  readonly secret: string;
  /** For mail programs that show no HTML. */
  readonly text?: string;
}

export interface SenderOptions {
  /** WATERSHED_SMTP_URL; without it mail is refused. */
  readonly smtpUrl: string | undefined;
  readonly mailFrom: string;
  readonly clock: Clock;
  /** Takes what goes to the object store, below `reports/`. */
  readonly store: Store;
  /** Longest time for one mail, or for one call of a webhook. */
  readonly timeoutMs?: number;
}

/**
 * Sends one file to one recipient. Throws `unavailable` (it did not go out), `commit_unknown` (it was handed over and
 * the answer was lost: perhaps it went out), `bad_config` (no mail server), `forbidden` (refused for good). Returns
 * where it lies, for what goes to the object store.
 */
export type Send = (outgoing: Outgoing, signal: AbortSignal) => Promise<string | void>;

export function createSend(options: SenderOptions): Send {
  return async (outgoing, signal) => {
    switch (outgoing.kind) {
      case 'file': return; // it lies ready to be fetched
      case 'mail': return await sendMail(options, outgoing, signal);
      case 'webhook': return await callWebhook(options, outgoing, signal);
      case 'store': return await putInStore(options, outgoing);
    }
  };
}

/** The same slot has the same name: what an earlier attempt put there is it. */
async function putInStore({ store }: SenderOptions, { target, fileName, bytes }: Outgoing): Promise<string> {
  const key = ['reports', ...(target === '' ? [] : [target]), fileName].join('/');
  await store.putIfAbsent(key, bytes);
  return `${store.uri}/${key}`;
}

async function sendMail({ smtpUrl, mailFrom, clock, timeoutMs = 60_000 }: SenderOptions, outgoing: Outgoing, signal: AbortSignal): Promise<void> {
  if (smtpUrl === undefined) {
    throw new WatershedError('bad_config', 'there is no mail server', { hint: 'Set WATERSHED_SMTP_URL, such as smtps://user:password@host.' });
  }
  const transport = createTransport({ url: smtpUrl, connectionTimeout: timeoutMs, greetingTimeout: timeoutMs, socketTimeout: timeoutMs });
  // Its own limits are for silence; a server that says a word now and then would hold us for ever.
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => undefined);
  const cancel = clock.timer(2 * timeoutMs, () => late.reject(new Error(`no end after ${(2 * timeoutMs) / 1000} s`)));
  const stop = (): void => late.reject(new Error('this process is stopping'));
  signal.addEventListener('abort', stop, { once: true });
  const domain = mailFrom.split('@').at(-1)?.replace(/[^\w.-]/g, '') ?? 'localhost';
  try {
    await Promise.race([late.promise, transport.sendMail({
      from: mailFrom, to: outgoing.target, subject: outgoing.title.replaceAll(/[\r\n]+/g, ' '),
      messageId: `<${Buffer.from(outgoing.key).toString('base64url')}@${domain}>`,
      headers: { 'x-watershed-key': outgoing.key, 'auto-submitted': 'auto-generated' },
      ...(outgoing.contentType.startsWith('text/html') ? htmlParts(outgoing) : {
        text: `${outgoing.title}\n\nThe report is attached as ${outgoing.fileName}.\n`,
        attachments: [{ filename: outgoing.fileName, content: outgoing.bytes, contentType: outgoing.contentType }],
      }),
    })]);
  } catch (cause) {
    throw mailError(cause);
  } finally {
    cancel();
    signal.removeEventListener('abort', stop);
    transport.close();
  }
}

/** Pictures go along as parts of the mail: mail programs do not show data addresses. */
function htmlParts(outgoing: Outgoing): { html: string; text: string; attachments: { filename: string; content: Buffer; cid: string; contentType: string }[] } {
  const attachments: { filename: string; content: Buffer; cid: string; contentType: string }[] = [];
  const html = outgoing.bytes.toString('utf8').replaceAll(/src="data:image\/png;base64,([A-Za-z0-9+/=]+)"/g, (_whole, data: string) => {
    const cid = `chart-${attachments.length + 1}@watershed`;
    attachments.push({ filename: `chart-${attachments.length + 1}.png`, content: Buffer.from(data, 'base64'), cid, contentType: 'image/png' });
    return `src="cid:${cid}"`;
  });
  const text = outgoing.text ?? 'This report is a page of HTML; a mail program that shows HTML shows it.';
  return { html, text: `${outgoing.title}\n\n${text}\n`, attachments };
}

/** Codes of nodemailer that come before any text was handed over. */
const beforeText = new Set(['EDNS', 'EAUTH', 'ENOAUTH', 'EOAUTH2', 'EENVELOPE', 'ETLS', 'EREQUIRETLS']);

function mailError(cause: unknown): WatershedError {
  const more: Partial<Record<'responseCode' | 'syscall', unknown>> = typeof cause === 'object' && cause !== null ? cause : {};
  const status = Number(more.responseCode ?? 0);
  const said = messageOf(cause);
  if (status >= 500) return new WatershedError('forbidden', `the mail server refuses: ${said}`, { cause });
  // A connection that broke without an answer: nodemailer does not say whether the text had gone out by then.
  if (status === 0 && more.syscall !== 'connect' && !beforeText.has(systemCode(cause) ?? '')) {
    return new WatershedError('commit_unknown', `the mail server broke off without an answer: ${said}`, { cause });
  }
  return new WatershedError('unavailable', `the mail did not go out: ${said}`, { cause });
}

async function callWebhook({ clock, timeoutMs = 30_000 }: SenderOptions, outgoing: Outgoing, signal: AbortSignal): Promise<void> {
  const timestamp = String(Math.floor(clock.now() / 1000));
  const signature = createHmac('sha256', outgoing.secret).update(`${timestamp}.`).update(outgoing.bytes).digest('hex');
  let status: number;
  try {
    const answer = await fetch(outgoing.target, {
      // A redirect is no receiver: the signed body goes to the address that was given, and nowhere else.
      method: 'POST', redirect: 'manual', body: new Uint8Array(outgoing.bytes), signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      headers: {
        'content-type': outgoing.contentType, 'idempotency-key': outgoing.key, 'x-watershed-title': encodeURIComponent(outgoing.title),
        'x-watershed-timestamp': timestamp, 'x-watershed-signature': `sha256=${signature}`,
      },
    });
    status = answer.status;
    await answer.body?.cancel();
  } catch (cause) {
    signal.throwIfAborted();
    // Whether it arrived or not, the receiver knows the key: sending it again is safe.
    throw new WatershedError('unavailable', `the webhook does not answer: ${messageOf(cause)}`, { cause });
  }
  if (status >= 200 && status < 300) return;
  const passing = status >= 500 || status === 408 || status === 425 || status === 429;
  throw new WatershedError(passing ? 'unavailable' : 'forbidden', `the webhook answered ${status}`);
}
