/**
 * Asks a statement and hands the rows over in portions. Parsing a hundred thousand rows takes longer than a page may
 * stand still, so it is not the page that does it.
 */
interface Question {
  readonly sql: string;
  readonly params: readonly (string | number | null)[];
  readonly rowsMax: number;
}

/** A portion is copied into the page in a few milliseconds. */
const portion = 2_000;

addEventListener('message', (event: MessageEvent<Question>) => {
  ask(event.data).catch((error: unknown) => postMessage({ kind: 'failed', status: 0, problem: { detail: String(error) } }));
});

async function ask({ sql, params, rowsMax }: Question): Promise<void> {
  const response = await fetch('/api/sql', {
    method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json' }, body: JSON.stringify({ sql, params, limits: { rows: rowsMax } }),
  }).catch(() => undefined);
  if (response === undefined) {
    return postMessage({ kind: 'failed', status: 0, problem: { code: 'unavailable', detail: 'Watershed does not answer.', hint: 'Is it still running? Run the statement again when it is.' } });
  }
  const answer = parse(await textOf(response));
  if (!isRecord(answer)) return postMessage({ kind: 'failed', status: response.status, problem: { detail: 'The answer broke off.', hint: 'Run the statement again.' } });
  if (!response.ok || isRecord(answer['error'])) return postMessage({ kind: 'failed', status: response.status, problem: answer['error'] ?? answer });
  const rows: unknown = answer['rows'];
  const list = Array.isArray(rows) ? rows : [];
  postMessage({ kind: 'columns', columns: answer['columns'] });
  for (let from = 0; from < list.length; from += portion) postMessage({ kind: 'rows', rows: list.slice(from, from + portion) });
  postMessage({ kind: 'done', truncated: answer['truncated'] === true, elapsedMs: answer['elapsedMs'] });
}

/** Also of an answer that the server broke off: then the reason stands at its end. */
async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    const reader = response.body?.getReader();
    for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) text += decoder.decode(piece.value, { stream: true });
  } catch {
    return text;
  }
  return text;
}

interface SourceJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}

/** Whole numbers that a number does not hold stay as they were written. */
function parse(text: string): unknown {
  try {
    if (!/\d{16}/.test(text)) return JSON.parse(text);
    // The compiler's library does not know `context.source` yet.
    return (JSON as unknown as SourceJson).parse(text, (_key, value, { source }) =>
      (typeof value === 'number' && source !== undefined && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? source : value));
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
