import { type Filter, isFiltered, kinds } from './filter.ts';
import { Link } from './parts.tsx';
import { setParams } from './state.ts';

const names = ['any', 'all', 'none', 'phrase', 'kind', 'lang', 'from', 'to'] as const;

const hourMs = 3_600_000;
const spans = [['last hour', hourMs], ['last day', 24 * hourMs], ['last week', 168 * hourMs]] as const;

/**
 * What is shown, as a form whose values stand in the address, with the statement that comes of it. `end` is the end of the
 * event's own time, ms since 1970.
 */
export function FilterBar({ filter, statement, languages, end }: {
  filter: Filter; statement: string; languages: readonly string[]; end: number | undefined;
}) {
  const apply = (event: Event): void => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const data = new FormData(event.currentTarget);
    const text = (name: string): string => String(data.get(name) ?? '').trim();
    const instant = (name: string): string => (text(name) === '' ? '' : `${text(name).slice(0, 16)}Z`);
    setParams({ any: text('any'), all: text('all'), none: text('none'), phrase: text('phrase'), kind: text('kind'), lang: text('lang'),
      from: instant('from'), to: instant('to') });
  };
  const clear = (): void => setParams(Object.fromEntries(names.map((name) => [name, undefined])));
  const field = (name: 'any' | 'all' | 'none' | 'phrase', label: string, value: string) => (
    <label>{label}<input name={name} defaultValue={value} autocomplete="off" /></label>
  );
  // The form is made anew when the address changes, so that "back" shows what was.
  return (
    <form class="card filter" onSubmit={apply} key={JSON.stringify(filter)} aria-label="Filter">
      <div class="fields">
        {field('any', 'Any of these words', filter.any.join(', '))}
        {field('all', 'All of these', filter.all.join(', '))}
        {field('none', 'None of these', filter.none.join(', '))}
        {field('phrase', 'This phrase', filter.phrase)}
        <label>Kind
          <select name="kind">
            <option value="">all kinds</option>
            {kinds.filter(({ label }) => label !== '').map(({ label, name }) => <option key={label} value={label} selected={label === filter.kind}>{name}</option>)}
          </select>
        </label>
        <label>Language
          <select name="lang">
            <option value="">all languages</option>
            {[...new Set([...languages, filter.lang])].filter((lang) => lang !== '').map((lang) => <option key={lang} value={lang} selected={lang === filter.lang}>{languageName(lang)}</option>)}
          </select>
        </label>
        <label>From (UTC)<input type="datetime-local" name="from" defaultValue={inputTime(filter.from)} /></label>
        <label>Until (UTC)<input type="datetime-local" name="to" defaultValue={inputTime(filter.to)} /></label>
      </div>
      <div class="row">
        <button type="submit">Apply</button>
        {isFiltered(filter) && <button type="button" class="quiet" onClick={clear}>Show everything</button>}
        {end !== undefined && end > hourMs && spans.map(([name, span]) => (
          <button key={name} type="button" class="quiet small" onClick={() => setParams({ from: instantText(end - span), to: undefined })}>{name}</button>
        ))}
        <span class="spread" />
        <Link to={`/sql?q=${encodeURIComponent(statement)}`}>Open in the query box</Link>
      </div>
      <pre id="shown-sql" tabIndex={0} aria-label="The SQL of this filter" role="region">{statement}</pre>
    </form>
  );
}

function instantText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16)}Z`;
}

function inputTime(ms: number | undefined): string {
  return ms === undefined ? '' : new Date(ms).toISOString().slice(0, 16);
}

const known = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' });

export function languageName(tag: string): string {
  if (tag === '' || tag === 'und') return 'not stated';
  try {
    return known.of(tag) ?? tag;
  } catch {
    return tag; // no language tag at all: networks send such
  }
}
