import { render } from 'preact';
import { api } from './api.ts';
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
          <Link to="/operations" aria-current={path === '/operations' ? 'page' : undefined}>Operations</Link>
        </nav>
        {status.data?.simulated && <span class="badge">simulated crisis: made-up posts</span>}
        <span class="status" role="status">
          {status.error ? 'no answer from the server: trying again'
            : progress ? `${count.format(progress.committed)} posts in the lake, ${progress.secondsBehind.toFixed(1)} s behind` : ''}
        </span>
      </header>
      <main>
        {eventId !== undefined ? <EventPage id={eventId} key={eventId} /> : path === '/sql' ? <QueryPage />
          : path === '/operations' ? <OperationsPage /> : path === '/reports' ? <ReportsPage /> : <HomePage />}
      </main>
    </>
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
