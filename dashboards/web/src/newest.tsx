import { useState } from 'preact/hooks';
import { type Cell, sql, type SqlResult } from './api.ts';
import { type Filter, isFiltered, kindName, kinds } from './filter.ts';
import { useLoad } from './hooks.ts';
import { connected, landed, useLive } from './live.ts';
import { Problem } from './parts.tsx';
import { labelsSql, newestSql } from './queries.ts';
import { place, setParams } from './state.ts';
import { ms } from './timeline.ts';

interface LabelledPosts {
  readonly posts: SqlResult;
  readonly labels: SqlResult | undefined;
}

const shownMax = 30;
/** Without word from the server; and to fetch the labels, which come some seconds after the post. */
const everyMs = 3_000;

/** The newest posts that fit, as they come, with what the classifier says of them; held still on demand. */
export function NewestPosts({ filter, since, ready }: { filter: Filter; since: number | undefined; ready: boolean }) {
  useLive();
  const held = place.value.searchParams.get('hold') === '1';
  const [kept, setKept] = useState<LabelledPosts>();
  // Where the time ends before now, nothing new can come.
  const open = filter.to === undefined || filter.to > Date.now();
  const loaded = useLoad(`newest ${JSON.stringify(filter)} ${ready} ${held}`, async (signal) => {
    if (!ready || (held && kept !== undefined)) return kept;
    const found = await loadNewest(filter, since, signal);
    setKept(found);
    return found;
  }, open ? everyMs : 30_000, held ? 0 : landed.value);
  const shown = held ? kept ?? loaded.data : loaded.data;
  return (
    <section class="card" aria-labelledby="newest">
      <div class="row">
        <h2 id="newest">Newest posts</h2>
        <button type="button" class="quiet small" aria-pressed={held} onClick={() => setParams({ hold: held ? undefined : '1' }, true)}>{held ? 'Go on' : 'Hold still'}</button>
        <span class="soft" role="status">{held ? 'held still' : connected.value ? 'live' : 'asked every 3 s'}</span>
      </div>
      {loaded.error && <Problem error={loaded.error} />}
      {shown === undefined ? <p class="soft">loading…</p> : <Posts loaded={shown} filtered={isFiltered(filter)} />}
    </section>
  );
}

async function loadNewest(filter: Filter, since: number | undefined, signal: AbortSignal): Promise<LabelledPosts> {
  const posts = await sql(newestSql(filter, since, shownMax), [], signal);
  const times = posts.rows.map(([at]) => ms(at));
  if (times.length === 0) return { posts, labels: undefined };
  const ids = posts.rows.map((row) => String(row[6]));
  return { posts, labels: await sql(labelsSql(filter.eventId, Math.min(...times), Math.max(...times), ids), [], signal) };
}

function Posts({ loaded, filtered }: { loaded: LabelledPosts; filtered: boolean }) {
  if (loaded.posts.rows.length === 0) {
    return filtered ? <p class="soft">No post fits. Take a word away, choose a longer time, or press <b>Show everything</b>.</p>
      : <p class="soft">No post has come yet. A live event shows its first within seconds of somebody writing one of its words; an archive is loaded with <code>watershed load FILE --event NAME</code>.</p>;
  }
  const answers = new Map<string, Map<string, Cell>>();
  for (const [source, id, classifier, label] of loaded.labels?.rows ?? []) {
    const key = `${source} ${id}`;
    answers.set(key, (answers.get(key) ?? new Map<string, Cell>()).set(String(classifier), label ?? null));
  }
  return <ul class="posts">{loaded.posts.rows.map((row) => <Post key={`${row[5]} ${row[6]}`} row={row} answer={answers.get(`${row[5]} ${row[6]}`)} />)}</ul>;
}

/** Longer texts are cut until somebody asks for the rest: one post must not take the page from the others. */
const charsMax = 600;

function Post({ row, answer }: { row: readonly Cell[]; answer: ReadonlyMap<string, Cell> | undefined }) {
  const [whole, setWhole] = useState(false);
  const [at, handle, content, lang, uri] = row;
  const text = String(content ?? '');
  const kind = answer?.get('information_type');
  const address = typeof uri === 'string' && /^https?:\/\//.test(uri) ? uri : undefined;
  return (
    <li>
      <div class="soft">
        <time dateTime={String(at)}>{new Date(ms(at)).toISOString().replace('T', ' ').slice(0, 19)} UTC</time>
        {handle !== null && <> · <bdi>@{String(handle)}</bdi></>}{lang !== null && lang !== '' && <> · {String(lang)}</>}
        {address !== undefined && <> · <a href={address} rel="noreferrer noopener" target="_blank">original</a></>}
        {typeof kind === 'string' && <> <span class="badge kind"><span class="swatch" style={{ background: kinds.find(({ label }) => label === kind)?.color }} />{kindName(kind)}</span></>}
        {answer?.get('relevance') === 'not_relevant' && <> <span class="badge">not about the crisis</span></>}
      </div>
      <p dir="auto" class={whole ? 'whole' : ''}>{whole ? text : text.slice(0, charsMax)}{!whole && text.length > charsMax && '…'}</p>
      {text.length > charsMax && <button type="button" class="plain" aria-expanded={whole} onClick={() => setWhole(!whole)}>{whole ? 'Show less' : `Show all ${text.length} characters`}</button>}
    </li>
  );
}
