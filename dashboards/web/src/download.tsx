import { useEffect, useRef, useState } from 'preact/hooks';
import { count } from './parts.tsx';

const formats = [
  ['csv', 'CSV, safe for spreadsheets'], ['csv-raw', 'CSV, texts as they are'], ['xlsx', 'XLSX (Excel)'], ['parquet', 'Parquet'], ['ndjson', 'NDJSON'],
  ['ids', 'post ids, one a line'],
] as const;

/** Asks again and saves the whole result as a file, also what did not come to the page. */
export function Download({ statement }: { statement: () => string }) {
  const [format, setFormat] = useState<string>('csv');
  const [state, setState] = useState('');
  const stop = useRef<AbortController>(undefined);
  useEffect(() => () => stop.current?.abort(), []);
  const save = async (): Promise<void> => {
    const mine = new AbortController();
    stop.current = mine;
    setState('asking…');
    try {
      const response = await fetch('/api/downloads', {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ sql: statement(), format }), signal: mine.signal,
      });
      if (!response.ok) {
        setState(await refusal(response));
        return;
      }
      const name = /filename="([^"]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1] ?? 'watershed';
      const file = await fileOf(response, (bytes) => setState(`${count.format(Math.round(bytes / 1024))} kB…`));
      const address = URL.createObjectURL(file);
      Object.assign(document.createElement('a'), { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      setState(`${name} is saved`);
    } catch {
      setState(mine.signal.aborted ? 'cancelled' : 'It broke off: the result is larger than the server allows (a sheet holds 1,048,575 rows), or the connection was lost.');
    } finally {
      if (stop.current === mine) stop.current = undefined;
    }
  };
  const busy = stop.current !== undefined;
  return (
    <span class="row download">
      <label class="inline">Download as
        <select value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
          {formats.map(([name, label]) => <option key={name} value={name}>{label}</option>)}
        </select>
      </label>
      {busy ? <button type="button" class="quiet" onClick={() => stop.current?.abort()}>Stop</button>
        : <button type="button" class="quiet" onClick={() => void save()}>Download</button>}
      <span class="soft" role="status">{state}</span>
    </span>
  );
}

async function refusal(response: Response): Promise<string> {
  const problem: unknown = await response.json().catch(() => undefined);
  const text = (name: string): string => (typeof problem === 'object' && problem !== null ? String(Reflect.get(problem, name) ?? '') : '');
  return response.status === 401 ? 'Your session has ended.' : `${text('detail') || 'Refused.'} ${text('hint')}`;
}

/** The parts go to the browser's blob store, which moves large ones to the disk. */
async function fileOf(response: Response, tell: (bytes: number) => void): Promise<Blob> {
  const reader = response.body?.getReader();
  const parts: BlobPart[] = [];
  let bytes = 0;
  let told = 0;
  for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) {
    bytes += piece.value.length;
    parts.push(new Blob([piece.value]));
    if (bytes - told < 262_144) continue;
    told = bytes;
    tell(bytes);
  }
  return new Blob(parts, { type: response.headers.get('content-type') ?? '' });
}
