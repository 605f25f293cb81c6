import { useState } from 'preact/hooks';
import { api, ApiError } from './api.ts';
import { useLoad } from './hooks.ts';
import { Problem } from './parts.tsx';

export interface SavedQuery {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly owner: string;
  readonly sql: string;
  readonly parameters: readonly Parameter[];
  readonly version: number;
}

interface Parameter {
  readonly name: string;
  readonly type: 'text' | 'number' | 'boolean' | 'instant';
  readonly default?: string | number | boolean | null;
}

const json = { 'content-type': 'application/json' };

/** Statements kept on the server under a name, for all who may read this lake. */
export function SavedQueries({ statement, values, openId, open }: {
  statement: () => string; values: readonly string[]; openId: string | undefined; open: (query: SavedQuery | undefined) => void;
}) {
  const [turn, setTurn] = useState(0);
  const [name, setName] = useState('');
  const [error, setError] = useState<ApiError>();
  const list = useLoad(`queries ${turn}`, (signal) => api<{ queries: readonly SavedQuery[] }>('/api/queries', { signal }), 30_000);
  const queries = list.data?.queries ?? [];
  const chosen = queries.find(({ id }) => id === openId);
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    setError(undefined);
    try {
      await work();
      setTurn((before) => before + 1);
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
    }
  };
  const save = (event: Event): void => {
    event.preventDefault();
    void guarded(async () => {
      const sql = statement();
      const parameters = parametersOf(sql, values, chosen?.name === name ? chosen.parameters : []);
      const made = await api<SavedQuery>('/api/queries', { method: 'POST', headers: json, body: JSON.stringify({ name, sql, parameters }) });
      setName('');
      open(made);
    });
  };
  const replace = (query: SavedQuery): void => void guarded(async () => {
    const sql = statement();
    // Refused where somebody else was quicker.
    open(await api<SavedQuery>(`/api/queries/${query.id}`, { method: 'PUT', headers: { ...json, 'if-match': `"${query.version}"` },
      body: JSON.stringify({ name: query.name, description: query.description, sql, parameters: parametersOf(sql, values, query.parameters) }) }));
  });
  const remove = (query: SavedQuery): void => {
    if (!confirm(`Delete the saved query "${query.name}" for everybody?`)) return;
    void guarded(async () => {
      await api(`/api/queries/${query.id}`, { method: 'DELETE' });
      open(undefined);
    });
  };
  return (
    <details class="card" open={openId !== undefined}>
      <summary>Saved queries ({queries.length})</summary>
      {(error ?? list.error) && <Problem error={error ?? list.error ?? new ApiError(0, 'internal', '')} />}
      {list.data !== undefined && queries.length === 0 && <p class="soft">None yet. Give the statement above a name, and everybody who reads this lake finds it here; reports can be made of it too.</p>}
      <ul class="plain-list">
        {queries.map((query) => (
          <li key={query.id} class="row">
            <button type="button" class="plain" aria-current={query.id === openId ? 'true' : undefined} onClick={() => open(query)}>{query.name}</button>
            <span class="soft">{query.owner}, version {query.version}</span>
            {query.id === openId && <button type="button" class="quiet small" onClick={() => replace(query)}>Save the changes</button>}
            {query.id === openId && <button type="button" class="quiet small" onClick={() => remove(query)}>Delete</button>}
          </li>
        ))}
      </ul>
      <form class="row" onSubmit={save}>
        <label class="inline">Name<input value={name} required maxLength={200} onInput={(event) => setName(event.currentTarget.value)} autocomplete="off" /></label>
        <button type="submit" class="quiet">Save this statement</button>
      </form>
    </details>
  );
}

/** How many values `$1`, `$2`, … a statement asks for. What stands in quotes or comments counts too: one value too many does no harm to look at. */
export function parameterCount(sql: string): number {
  const bare = sql.replaceAll(/'(?:[^']|'')*'|--[^\n]*/g, '');
  return Math.min(20, Math.max(0, ...[...bare.matchAll(/\$(\d{1,2})\b/g)].map(([, digits]) => Number(digits))));
}

function parametersOf(sql: string, values: readonly string[], known: readonly Parameter[]): Parameter[] {
  return Array.from({ length: parameterCount(sql) }, (_, index) => ({
    name: known[index]?.name ?? `value_${index + 1}`, type: known[index]?.type ?? 'text', default: values[index] ?? '',
  }));
}
