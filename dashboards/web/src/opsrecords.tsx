import { useState } from 'preact/hooks';
import { api, ApiError, sql } from './api.ts';
import { useLoad } from './hooks.ts';
import { cellText, count, Problem } from './parts.tsx';
import { changesSql } from './queries.ts';
import { Section, time } from './section.tsx';
import { place, setParams } from './state.ts';

interface Quarantined {
  readonly id: string;
  readonly at: string;
  readonly component: string;
  readonly reason: string;
  readonly topic: string;
  readonly bytesLength: number;
  readonly keptBytes: number;
  readonly shownBytes: number;
  readonly replayedAt?: string;
  readonly text: string;
}

/** What could not be kept: its bytes to look at, to mend and to put back. */
export function Quarantine() {
  const [turn, setTurn] = useState(0);
  const loaded = useLoad('quarantine', (signal) => api<{ records: readonly Quarantined[] }>('/api/quarantine', { signal }), 15_000, turn);
  const chosen = place.value.searchParams.get('record');
  const records = loaded.data?.records;
  const record = records?.find(({ id }) => id === chosen);
  const rows = records?.map((one) => [
    <button type="button" class="plain mono" aria-expanded={one.id === chosen} onClick={() => setParams({ record: one.id === chosen ? undefined : one.id }, true)}>{one.id}</button>,
    time(one.at), one.component, one.reason, `${count.format(one.bytesLength)} bytes`, one.replayedAt === undefined ? 'no' : time(one.replayedAt),
  ]);
  return (
    <>
      {loaded.error && <Problem error={loaded.error} />}
      <Section id="quarantine" title="Quarantine: the newest records that could not be kept" head={['Record', 'When', 'By', 'Why', 'Length', 'Put back']} rows={rows}
        empty="Nothing was set aside: every record could be read." />
      {record && <Record key={record.id} record={record} done={() => setTurn((before) => before + 1)} />}
    </>
  );
}

function Record({ record, done }: { record: Quarantined; done: () => void }) {
  const [text, setText] = useState(record.text);
  const [state, setState] = useState('');
  const [error, setError] = useState<ApiError>();
  const isWhole = record.shownBytes === record.bytesLength;
  const putBack = async (): Promise<void> => {
    setError(undefined);
    setState('putting back…');
    try {
      const body = JSON.stringify({ id: record.id, ...(text === record.text ? {} : { record: text }) });
      const { place: put } = await api<{ place: string }>('/api/quarantine/replay', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      setState(`It is back, as ${put}.`);
      done();
    } catch (thrown) {
      setState('');
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
    }
  };
  return (
    <section class="card" aria-labelledby="record">
      <h2 id="record">Record {record.id}</h2>
      <p class="soft">Topic {record.topic}, set aside by {record.component} at {time(record.at)}: {record.reason}.
        {!isWhole && ` The first ${count.format(record.shownBytes)} of its ${count.format(record.bytesLength)} bytes are shown; \`watershed quarantine show ${record.id}\` gives all that was kept.`}</p>
      <label>Its bytes, as text<textarea spellcheck={false} value={text} readOnly={!isWhole} onInput={(event) => setText(event.currentTarget.value)} /></label>
      {error && <Problem error={error} />}
      <div class="row">
        <button type="button" disabled={record.replayedAt !== undefined} onClick={() => void putBack()}>{text === record.text ? 'Put it back as it is' : 'Put it back, mended'}</button>
        <span class="soft" role="status">{record.replayedAt === undefined ? state : `${state} It was put back at ${time(record.replayedAt)}.`}</span>
      </div>
    </section>
  );
}

interface Asked {
  readonly at: string;
  readonly user: string;
  readonly door: string;
  readonly sql: string;
  readonly outcome: string;
  readonly rows: number;
  readonly elapsedMs: number;
}

/** Who changed events, and who asked what. Statements are shown to administrators. */
export function Audit() {
  const onlyFailed = place.value.searchParams.get('failed') === '1';
  const changes = useLoad('changes', (signal) => sql(changesSql(50), [], signal), 15_000);
  const asked = useLoad(`audit ${onlyFailed}`, (signal) => api<{ statements: readonly Asked[] }>(`/api/audit${onlyFailed ? '?failed=1' : ''}`, { signal }), 10_000);
  const statements = asked.data?.statements.map((one) => [
    time(one.at), one.user, one.door, one.outcome === 'done' ? one.outcome : <span class="badge bad">{one.outcome}</span>, count.format(one.rows), `${Math.round(one.elapsedMs)} ms`,
    <a href={`/sql?q=${encodeURIComponent(one.sql)}`}><code>{one.sql.replaceAll(/\s+/g, ' ').slice(0, 140)}</code></a>,
  ]);
  return (
    <>
      <Section id="changes" title="Changes of events" head={['When', 'By', 'What', 'Event', 'Version']} empty={changes.error?.message ?? 'No event was made yet.'}
        rows={changes.error ? [] : changes.data?.rows.map(([at, by, action, event, version]) => [time(String(at)), cellText(by), cellText(action), cellText(event), cellText(version)])} />
      {asked.error?.status === 403 ? null : asked.error && <Problem error={asked.error} />}
      <Section id="audit" title="Statements, newest first" head={['When', 'Who', 'Door', 'Outcome', 'Rows', 'Time', 'Statement']} rows={asked.error?.status === 403 ? [] : statements} numeric={[4, 5]}
        empty={asked.error?.status === 403 ? 'Only an administrator sees who asked what.' : onlyFailed ? 'None failed.' : 'Nobody has asked yet.'} />
      <div><button type="button" class="quiet" aria-pressed={onlyFailed} onClick={() => setParams({ failed: onlyFailed ? undefined : '1' }, true)}>{onlyFailed ? 'Show all statements' : 'Show only what failed'}</button></div>
    </>
  );
}
