import { api } from './api.ts';
import { useGuarded } from './guarded.ts';
import { useLoad } from './hooks.ts';
import { Problem } from './parts.tsx';
import { deliveryText, minuteText, type RunView } from './reporttypes.ts';

const kindNames: Readonly<Record<RunView['kind'], string>> = { scheduled: '', test: 'sent by hand', begun: 'it began', over: 'it is over' };
const stateNames: Readonly<Record<RunView['state'], string>> = {
  planned: 'waits', delivering: 'being sent', done: 'sent', failed: 'failed', skipped: 'left out after downtime', unmet: 'not sent: the condition did not hold',
};
const everyMs = 3_000;

/** What was sent to whom, newest first, with what can be fetched and what can be tried again. `path` is that of the report or alert. */
export function Runs({ path, none }: { path: string; none: string }) {
  const { busy, error, attempt } = useGuarded();
  const runs = useLoad(`runs ${path}`, (signal) => api<{ runs: readonly RunView[] }>(`${path}/runs`, { signal }), everyMs);
  const problem = error ?? runs.error;
  return (
    <div>
      {problem && <Problem error={problem} />}
      {runs.data?.runs.length === 0 && <p class="soft">{none}</p>}
      <ul class="plain-list" aria-label="What was sent">
        {runs.data?.runs.map((run) => (
          <li key={run.id}>
            <b>{minuteText(run.slot)}</b> {kindNames[run.kind]} <span class={`badge ${run.state === 'failed' ? 'bad' : ''}`}>{stateNames[run.state]}</span>{' '}
            {run.formats.map((format) => <span key={format}><a href={`/api/report-runs/${run.id}/${format}`} download aria-label={`Fetch ${format} of ${minuteText(run.slot)}`}>{format}</a> </span>)}
            {run.state === 'failed' && <button type="button" class="quiet small" disabled={busy}
              onClick={() => void attempt(() => api(`/api/report-runs/${run.id}/retry`, { method: 'POST' }))}>Try again</button>}
            {run.note !== null && <div class="soft">{run.note}</div>}
            {run.error !== null && <div class="soft">{run.error}</div>}
            <ul class="plain-list soft">{run.deliveries.map((delivery, index) => <li key={index}>{told(delivery)}</li>)}</ul>
          </li>
        ))}
      </ul>
    </div>
  );
}

function told(delivery: RunView['deliveries'][number]): string {
  const { state, sentAt, attempts, perhapsTwice, error, location } = delivery;
  const when = state === 'sent' && sentAt !== null ? `sent ${minuteText(sentAt)}` : state;
  return `${location ?? deliveryText(delivery)}: ${when}${attempts > 1 ? `, ${attempts} attempts` : ''}${perhapsTwice ? ', perhaps twice' : ''}${error === null ? '' : ` (${error})`}`;
}
