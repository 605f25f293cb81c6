import { useEffect, useRef, useState } from 'preact/hooks';
import { type Answer, ask, prepare } from './ask.ts';
import { api, type TableInfo } from './api.ts';
import { Download } from './download.tsx';
import type { SqlEditor } from './editor.ts';
import { Grid } from './grid.tsx';
import { remember, remembered, type Remembered } from './history.ts';
import { useLoad } from './hooks.ts';
import { count, Problem } from './parts.tsx';
import { PlotView } from './plotview.tsx';
import { parameterCount, SavedQueries, type SavedQuery } from './saved.tsx';
import { place, setParams } from './state.ts';

const example = `select event_id, sum(posts) as posts, min(minute) as first, max(minute) as last
from lake.activity
group by event_id
order by posts desc`;

/** So many rows come to the page; a download has them all. */
const rowsMax = 100_000;

export function QueryPage() {
  const params = place.value.searchParams;
  const address = params.get('q');
  const [text, setText] = useState(address ?? example);
  const [values, setValues] = useState(valuesIn(params));
  const [entries, setEntries] = useState(remembered());
  const statement = useRef(text);
  statement.current = text;
  const editor = useRef<Handle>(undefined);
  // Typing goes from the editor to here and never back: what comes late would undo what was typed since.
  const replaceText = (next: string): void => {
    setText(next);
    editor.current?.set(next);
  };
  const { answer, run: start, cancel } = useStatement((done) => setEntries(remember({
    sql: done.sql, at: new Date().toISOString(),
    outcome: done.error?.message ?? `${count.format(done.rows.length)} rows, ${Math.round(done.elapsedMs)} ms`,
  })));
  const wanted = Array.from({ length: parameterCount(text) }, (_, index) => values[index] ?? '');
  const run = (): void => {
    const sql = statement.current;
    const given = Array.from({ length: parameterCount(sql) }, (_, index) => values[index] ?? '');
    setParams({ q: sql, run: '1', v: given.length === 0 ? undefined : JSON.stringify(given) });
    start(sql, given);
  };
  // The address says what is asked: on opening, on reload, and on the way back.
  useEffect(() => {
    if (address === null) return;
    if (address !== statement.current) replaceText(address);
    if (params.get('run') === '1' && answer?.sql !== address) start(address, Array.from({ length: parameterCount(address) }, (_, index) => values[index] ?? ''));
  }, [address]);
  const open = (query: SavedQuery | undefined): void => {
    if (query === undefined) return setParams({ saved: undefined });
    setValues(query.parameters.map((parameter) => String(parameter.default ?? '')));
    replaceText(query.sql);
    setParams({ saved: query.id, q: query.sql, run: undefined });
  };
  const running = answer !== undefined && !answer.done;
  return (
    <>
      <h1>Ask in SQL</h1>
      <div class="query">
        <Schema insert={(name) => editor.current?.insert(name)} />
        <section class="card" aria-label="Statement">
          <div id="statement-label" class="soft">One read-only statement over the schema <code>lake</code>. Ctrl+Enter runs it, Ctrl+Space completes.</div>
          <Editor text={text} change={setText} run={run} handle={editor} />
          {wanted.length > 0 && (
            <div class="fields">{wanted.map((value, index) => (
              <label key={index}>Value of ${index + 1}<input value={value} onInput={(event) => setValues(wanted.map((other, at) => (at === index ? event.currentTarget.value : other)))} /></label>
            ))}</div>
          )}
          <div class="row">
            <button type="button" onClick={run} disabled={running || text.trim() === ''}>Run</button>
            {running && <button type="button" class="quiet" onClick={cancel}>Cancel</button>}
            <Download statement={() => statement.current} />
            <span class="soft" role="status">{statusOf(answer)}</span>
          </div>
        </section>
      </div>
      {answer?.error && <Problem error={answer.error} />}
      {answer !== undefined && answer.columns.length > 0 && <Result answer={answer} />}
      <SavedQueries statement={() => statement.current} values={wanted} openId={params.get('saved') ?? undefined} open={open} />
      <History entries={entries} choose={replaceText} />
    </>
  );
}

/** The values of `$1`, `$2`, … that the address brings. */
function valuesIn(params: URLSearchParams): readonly string[] {
  try {
    const found: unknown = JSON.parse(params.get('v') ?? '[]');
    return Array.isArray(found) ? found.map(String) : [];
  } catch {
    return []; // somebody cut the address short
  }
}

/** The one statement that this page runs: a new one takes the place of the old. */
function useStatement(onDone: (answer: Answer) => void): { answer: Answer | undefined; run: (sql: string, values: readonly string[]) => void; cancel: () => void } {
  const [answer, setAnswer] = useState<Answer>();
  const stop = useRef<() => void>(undefined);
  const latest = useRef(0);
  useEffect(() => {
    prepare();
    return () => {
      latest.current += 1;
      stop.current?.();
    };
  }, []);
  const run = (sql: string, values: readonly string[]): void => {
    const mine = ++latest.current;
    stop.current?.();
    setAnswer({ sql, columns: [], rows: [], version: 0, done: false, truncated: false, elapsedMs: 0, error: undefined });
    stop.current = ask(sql, values, rowsMax, (next) => {
      if (latest.current !== mine) return;
      setAnswer(next);
      if (next.done) onDone(next);
    });
  };
  return { answer, run, cancel: () => stop.current?.() };
}

function statusOf(answer: Answer | undefined): string {
  if (answer === undefined || answer.error !== undefined) return '';
  const rows = `${count.format(answer.rows.length)} ${answer.rows.length === 1 ? 'row' : 'rows'}`;
  if (!answer.done) return answer.columns.length === 0 ? 'running…' : `${rows}…`;
  const cut = answer.truncated ? `; only the first ${count.format(rowsMax)} are here, a download has all` : '';
  return `${rows} in ${Math.round(answer.elapsedMs)} ms${cut}`;
}

function Result({ answer }: { answer: Answer }) {
  const charted = place.value.searchParams.get('chart') === '1';
  return (
    <section class="card" aria-label="Result">
      <div class="row">
        <h2>Result</h2>
        <button type="button" class="quiet" aria-pressed={charted} onClick={() => setParams({ chart: charted ? undefined : '1' }, true)}>{charted ? 'Hide the chart' : 'Draw a chart'}</button>
      </div>
      {charted && <PlotView answer={answer} />}
      <Grid answer={answer} />
    </section>
  );
}

/** What others may do to the editor. */
interface Handle {
  set(text: string): void;
  insert(text: string): void;
}

/** The editor comes when it is needed: until then, and where it cannot come, a plain field does. */
function Editor({ text, change, run, handle }: {
  text: string; change: (text: string) => void; run: () => void; handle: { current: Handle | undefined };
}) {
  const holder = useRef<HTMLDivElement>(null);
  const plain = useRef<HTMLTextAreaElement>(null);
  const editor = useRef<SqlEditor>(undefined);
  const [ready, setReady] = useState(false);
  const newest = useRef({ text, run, change });
  newest.current = { text, run, change };
  useEffect(() => {
    let left = false;
    handle.current = {
      set: (next) => editor.current?.setText(next),
      insert(piece) {
        if (editor.current !== undefined) return editor.current.insert(piece);
        const { selectionStart: from = 0, selectionEnd: to = 0 } = plain.current ?? {};
        newest.current.change(newest.current.text.slice(0, from) + piece + newest.current.text.slice(to));
      },
    };
    import('./editor.ts').then(({ createEditor }) => {
      if (left || holder.current === null) return;
      const hadFocus = document.activeElement === plain.current;
      editor.current = createEditor(holder.current, 'statement-label', newest.current.text, { run: () => newest.current.run(), change: (next) => newest.current.change(next) });
      setReady(true);
      if (hadFocus) editor.current.focus();
    }, () => undefined); // the plain field stays
    return () => {
      left = true;
      editor.current?.destroy();
    };
  }, []);
  const onKey = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    run();
  };
  return (
    <div class="editor">
      <div ref={holder} />
      {!ready && <textarea ref={plain} aria-labelledby="statement-label" spellcheck={false} value={text} onInput={(event) => change(event.currentTarget.value)} onKeyDown={onKey} />}
    </div>
  );
}

/** Tables and columns to look up and to put into the statement. */
function Schema({ insert }: { insert: (name: string) => void }) {
  const tables = useLoad('tables', (signal) => api<{ tables: readonly TableInfo[] }>('/api/tables', { signal }), 60_000);
  const [sought, setSought] = useState('');
  const fits = (table: TableInfo): boolean => [table.name, ...table.columns.map(({ name }) => name)].some((name) => name.includes(sought.toLowerCase()));
  const shown = (tables.data?.tables ?? []).filter(fits).toSorted((a, b) => Number(b.schema === 'lake') - Number(a.schema === 'lake'));
  return (
    <nav class="card schema" aria-label="Tables">
      <h2>Tables</h2>
      <label>Find a table or column<input type="search" value={sought} onInput={(event) => setSought(event.currentTarget.value)} /></label>
      {tables.error && <p class="soft">{tables.error.message}</p>}
      {tables.data !== undefined && shown.length === 0 && <p class="soft">No table has a column like that.</p>}
      {shown.map((table) => (
        <details key={`${table.schema}.${table.name}`} open={sought !== '' && table.schema === 'lake'}>
          <summary title={table.comment}>{table.schema === 'lake' ? table.name : `${table.schema}.${table.name}`}</summary>
          <p class="soft">{table.comment}</p>
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
