import { useEffect, useRef, useState } from 'preact/hooks';
import { api, ApiError, sql, type SqlResult } from './api.ts';
import { remember, remembered, type Remembered } from './history.ts';
import { useLoad } from './hooks.ts';
import { count, Problem, ResultTable } from './parts.tsx';
import { place, setParams } from './state.ts';

const example = `select event_id, sum(posts) as posts, min(minute) as first, max(minute) as last
from lake.activity
group by event_id
order by posts desc`;

export interface TableInfo {
  readonly schema: string;
  readonly name: string;
  readonly comment: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly comment: string }[];
}

interface Answer {
  readonly result?: SqlResult;
  readonly error?: ApiError;
  readonly elapsedMs: number;
}

/** So many rows come to the page; a download has them all. */
const rowsMax = 10_000;

export function QueryPage() {
  const address = place.value.searchParams.get('q');
  const [text, setText] = useState(address ?? example);
  const [answer, setAnswer] = useState<Answer>();
  const [running, setRunning] = useState(false);
  const [entries, setEntries] = useState(remembered());
  const stop = useRef<AbortController>(undefined);
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => { if (address !== null && !running) setText(address); }, [address]);
  useEffect(() => () => stop.current?.abort(), []);

  const run = async (): Promise<void> => {
    stop.current?.abort();
    const mine = new AbortController();
    stop.current = mine;
    setRunning(true);
    setParams({ q: text });
    const done = await ask(text, mine.signal);
    if (stop.current !== mine) return;
    setAnswer(done);
    setRunning(false);
    setEntries(remember({ sql: text, at: new Date().toISOString(),
      outcome: done.result ? `${count.format(done.result.rows.length)} rows, ${Math.round(done.elapsedMs)} ms` : done.error?.message ?? '' }));
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void run();
  };
  const insert = (name: string): void => {
    const { selectionStart: from = text.length, selectionEnd: to = text.length } = box.current ?? {};
    setText(text.slice(0, from) + name + text.slice(to));
    box.current?.focus();
  };
  return (
    <>
      <h1>Ask in SQL</h1>
      <div class="query">
        <Schema insert={insert} />
        <section class="card">
          <label for="statement">One read-only statement over the schema <code>lake</code>; Ctrl+Enter runs it</label>
          <textarea id="statement" ref={box} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={onKey} />
          <div class="row">
            <button type="button" onClick={() => void run()} disabled={running}>Run</button>
            {running && <button type="button" class="quiet" onClick={() => stop.current?.abort()}>Cancel</button>}
            <Download statement={text} format="csv" />
            <Download statement={text} format="ndjson" />
            <span class="soft" role="status">{running ? 'running…' : answer?.result ? summary(answer.result, answer.elapsedMs) : ''}</span>
          </div>
        </section>
      </div>
      {answer?.error && <Problem error={answer.error} />}
      {answer?.result && <section class="card" aria-label="Result"><ResultTable result={answer.result} /></section>}
      <History entries={entries} choose={setText} />
    </>
  );
}

function summary(result: SqlResult, elapsedMs: number): string {
  const cut = result.truncated ? `; only the first ${count.format(rowsMax)}, a download has all` : '';
  return `${count.format(result.rows.length)} rows in ${Math.round(elapsedMs)} ms${cut}`;
}

async function ask(text: string, signal: AbortSignal): Promise<Answer> {
  const startedAt = performance.now();
  try {
    return { result: await sql(text, [], signal, rowsMax), elapsedMs: performance.now() - startedAt };
  } catch (error) {
    const shown = signal.aborted ? new ApiError(0, 'cancelled', 'Cancelled.')
      : error instanceof ApiError ? error : new ApiError(0, 'internal', String(error));
    return { error: shown, elapsedMs: performance.now() - startedAt };
  }
}

/** Tables and columns to look up and to put into the statement. */
function Schema({ insert }: { insert: (name: string) => void }) {
  const tables = useLoad('tables', (signal) => api<{ tables: readonly TableInfo[] }>('/api/tables', { signal }), 60_000);
  return (
    <nav class="card schema" aria-label="Tables">
      <h2>Tables</h2>
      {tables.error && <p class="soft">{tables.error.message}</p>}
      {tables.data?.tables.toSorted((a, b) => Number(b.schema === 'lake') - Number(a.schema === 'lake')).map((table) => (
        <details key={`${table.schema}.${table.name}`}>
          <summary title={table.comment}>{table.schema === 'lake' ? table.name : `${table.schema}.${table.name}`}</summary>
          <ul>
            <li><button type="button" class="plain" onClick={() => insert(`${table.schema}.${table.name}`)}>put into the statement</button></li>
            {table.columns.map((column) => (
              <li key={column.name} title={column.comment}>
                <button type="button" class="plain" onClick={() => insert(column.name)}>{column.name}</button> <span class="soft">{column.type.toLowerCase()}</span>
              </li>
            ))}
          </ul>
        </details>
      ))}
    </nav>
  );
}

/** Asks again and saves the rows as a file: the whole result, in the server's own encoding. */
function Download({ statement, format }: { statement: string; format: 'csv' | 'ndjson' }) {
  const [state, setState] = useState('');
  const save = async (): Promise<void> => {
    setState('…');
    try {
      const response = await fetch(`/api/sql?format=${format}`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ sql: statement }),
      });
      if (!response.ok) {
        setState(' (refused: Run says why)');
        return;
      }
      const address = URL.createObjectURL(await response.blob());
      const link = Object.assign(document.createElement('a'), { href: address, download: `watershed.${format}` });
      link.click();
      URL.revokeObjectURL(address);
      setState('');
    } catch {
      setState(' (broke off: try again)');
    }
  };
  return <button type="button" class="quiet" onClick={() => void save()}>Download {format.toUpperCase()}{state}</button>;
}

function History({ entries, choose }: { entries: readonly Remembered[]; choose: (text: string) => void }) {
  if (entries.length === 0) return null;
  return (
    <details class="card">
      <summary>History of this browser ({entries.length})</summary>
      <ul class="plain-list">
        {entries.map((entry) => (
          <li key={entry.sql}>
            <button type="button" class="plain mono" onClick={() => choose(entry.sql)}>{entry.sql.replace(/\s+/g, ' ').slice(0, 160)}</button>
            <span class="soft"> {entry.at.slice(0, 16).replace('T', ' ')} · {entry.outcome.slice(0, 120)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
