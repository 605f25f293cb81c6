import { useRef, useState } from 'preact/hooks';
import { ApiError, sql, type SqlResult } from './api.ts';
import { count, Problem, ResultTable } from './parts.tsx';
import { place, setParams } from './state.ts';

const example = `select event_id, count(*) as posts, min(created_at) as first, max(created_at) as last
from lake.posts
group by event_id
order by posts desc`;

interface Answer {
  readonly result?: SqlResult;
  readonly error?: ApiError;
  readonly elapsedMs: number;
}

export function QueryPage() {
  const [text, setText] = useState(place.value.searchParams.get('q') ?? example);
  const [answer, setAnswer] = useState<Answer>();
  const [running, setRunning] = useState(false);
  const stop = useRef<AbortController>(undefined);

  const run = async (): Promise<void> => {
    stop.current?.abort();
    const mine = new AbortController();
    stop.current = mine;
    setRunning(true);
    setParams({ q: text });
    const startedAt = performance.now();
    try {
      const result = await sql(text, [], mine.signal);
      setAnswer({ result, elapsedMs: performance.now() - startedAt });
    } catch (error) {
      const shown = mine.signal.aborted ? new ApiError(0, 'cancelled', 'Cancelled.')
        : error instanceof ApiError ? error : new ApiError(0, 'internal', String(error));
      setAnswer({ error: shown, elapsedMs: performance.now() - startedAt });
    } finally {
      if (stop.current === mine) setRunning(false);
    }
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void run();
    }
  };
  return (
    <>
      <h1>Ask in SQL</h1>
      <section class="card">
        <label for="statement">One read-only statement over the schema <code>lake</code>; Ctrl+Enter runs it</label>
        <textarea id="statement" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={onKey} />
        <div class="row">
          <button type="button" onClick={() => void run()} disabled={running}>Run</button>
          {running && <button type="button" class="quiet" onClick={() => stop.current?.abort()}>Cancel</button>}
          <span class="soft" role="status">
            {running ? 'running…' : answer?.result
              ? `${count.format(answer.result.rows.length)} rows in ${Math.round(answer.elapsedMs)} ms${answer.result.truncated ? ', cut at the limit' : ''}` : ''}
          </span>
        </div>
      </section>
      {answer?.error && <Problem error={answer.error} />}
      {answer?.result && <section class="card" aria-label="Result"><ResultTable result={answer.result} /></section>}
    </>
  );
}
