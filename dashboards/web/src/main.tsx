import { render } from 'preact';
import { AlertsPage } from './alerts.tsx';
import { api, type ApiError } from './api.ts';
import { EventPage } from './event.tsx';
import { HomePage } from './home.tsx';
import { useLoad } from './hooks.ts';
import { OperationsPage } from './ops.tsx';
import { count, Link } from './parts.tsx';
import { QueryPage } from './query.tsx';
import { ReportsPage } from './reports.tsx';
import { place } from './state.ts';
import './style.css';

interface Status {
  readonly simulated?: boolean;
  readonly progress?: { readonly committed: number; readonly secondsBehind: number };
}

function App() {
  const path = place.value.pathname;
  const status = useLoad('status', (signal) => api<Status>('/api/status', { signal }), 2_000);
  const eventId = idOf(path);
  const progress = status.data?.progress;
  return (
    <>
      <header class="top">
        <Link to="/" class="brand"><img src="/icon.svg" width="26" height="26" alt="" /> Watershed</Link>
        <nav aria-label="Main">
          <Link to="/" aria-current={path === '/' ? 'page' : undefined}>Events</Link>
          <Link to="/sql" aria-current={path === '/sql' ? 'page' : undefined}>Ask in SQL</Link>
          <Link to="/reports" aria-current={path === '/reports' ? 'page' : undefined}>Reports</Link>
          <Link to="/alerts" aria-current={path === '/alerts' ? 'page' : undefined}>Alerts</Link>
          <Link to="/operations" aria-current={path === '/operations' ? 'page' : undefined}>Operations</Link>
        </nav>
        {status.data?.simulated && <span class="badge">simulated crisis: made-up posts</span>}
        <span class="status" role="status">
          {status.error ? '' : progress ? `${count.format(progress.committed)} posts in the lake, ${progress.secondsBehind.toFixed(1)} s behind` : ''}
        </span>
      </header>
      <main>
        <Banner error={status.error} />
        {eventId !== undefined ? <EventPage id={eventId} key={eventId} /> : path === '/sql' ? <QueryPage />
          : path === '/operations' ? <OperationsPage /> : path === '/reports' ? <ReportsPage /> : path === '/alerts' ? <AlertsPage /> : <HomePage />}
      </main>
    </>
  );
}

/** What is wrong with the whole page, and what to do; it goes by itself when all is well again. */
function Banner({ error }: { error: ApiError | undefined }) {
  if (error === undefined) return null;
  const gone = error.status === 0;
  return (
    <div role="alert" class="banner">
      {gone ? 'Watershed does not answer. What you see is what was known before; this page tries again by itself every two seconds.'
        : error.status === 401 ? <>Your session has ended; what you wrote here stays. <a href="/" target="_blank">Sign in</a> in another tab, and this page goes on by itself.</>
          : error.message}
    </div>
  );
}

function idOf(path: string): string | undefined {
  const part = /^\/event\/([^/]+)$/.exec(path)?.[1];
  try {
    return part === undefined ? undefined : decodeURIComponent(part);
  } catch {
    return part; // a % that begins no escape: taken as it stands
  }
}

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
