import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import type { Guarded } from './guarded.ts';
import { type Format, formats, json } from './reporttypes.ts';
import { formatOf } from './reportparts.tsx';

/**
 * A button that makes a preview, and the link to what was made: a page opens in a tab of its own, under this page's rules
 * (no script). `request` says what to ask, by format; a link instead of a window by itself, which browsers hold back after
 * a wait.
 */
export function Preview({ request, guarded: { busy, attempt } }: {
  request: (format: Format) => { readonly path: string; readonly body: object }; guarded: Guarded;
}) {
  const [format, setFormat] = useState<Format>('html');
  const [made, setMade] = useState<{ url: string; format: Format }>();
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    link.current?.focus();
    return () => { if (made !== undefined) URL.revokeObjectURL(made.url); };
  }, [made]);
  const make = async (): Promise<void> => {
    setMade(undefined);
    await attempt(async () => {
      const { path, body } = request(format);
      setMade({ url: URL.createObjectURL(await fetchPreview(path, body)), format });
    });
  };
  return (
    <span class="row">
      <button type="button" class="quiet" disabled={busy} onClick={() => void make()}>Preview</button>
      <select class="narrow" aria-label="Format of the preview" value={format} onChange={(event) => setFormat(formatOf(event.currentTarget.value))}>
        {formats.map((name) => <option key={name} value={name}>{name.toUpperCase()}</option>)}
      </select>
      <span role="status">{made !== undefined && (made.format === 'html' || made.format === 'pdf'
        ? <a ref={link} href={made.url} target="_blank" rel="noopener">Open the preview</a>
        : <a ref={link} href={made.url} download={`preview.${made.format}`}>Save the preview</a>)}</span>
    </span>
  );
}

async function fetchPreview(path: string, body: object): Promise<Blob> {
  const response = await fetch(path, { method: 'POST', headers: json, body: JSON.stringify(body) }).catch(() => undefined);
  if (response === undefined) throw new ApiError(0, 'unavailable', 'Watershed does not answer.', 'Is it still running?');
  if (response.ok) return await response.blob();
  const problem: unknown = await response.json().catch(() => undefined);
  const said = (name: string): string | undefined => {
    const value: unknown = typeof problem === 'object' && problem !== null ? Reflect.get(problem, name) : undefined;
    return typeof value === 'string' ? value : undefined;
  };
  throw new ApiError(response.status, said('code') ?? 'internal', said('detail') ?? `The preview could not be made (${response.status}).`, said('hint'));
}
