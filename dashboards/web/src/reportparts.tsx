import { useRef } from 'preact/hooks';
import type { SavedQuery } from './saved.tsx';
import type { Part, Value } from '#core/contract/report.ts';
import { type Delivery, type Format, formats } from './reporttypes.ts';

/** A row of the form with a key of its own: what is taken out or moved must not take its neighbour's fields along. */
export interface Keyed<T> {
  readonly key: number;
  readonly value: T;
}

let made = 0;

export function keyed<T>(value: T): Keyed<T> {
  return { key: ++made, value };
}

/** A saved query while it is written: the values of its parameters are text, empty where none is given. */
export interface PartDraft {
  readonly query: string;
  readonly title: string;
  readonly show: Part['show'];
  readonly values: Readonly<Record<string, string>>;
}

export function partDraft({ query, title = '', show, values = {} }: Part): PartDraft {
  return { query, title, show, values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value ?? '')])) };
}

export function partOf({ query, title, show, values }: PartDraft, queries: readonly SavedQuery[]): Part {
  const types = new Map(queries.find(({ id }) => id === query)?.parameters.map(({ name, type }) => [name, type]));
  const given = Object.entries(values).filter(([name, text]) => text !== '' && (types.size === 0 || types.has(name)))
    .map(([name, text]): [string, Value] => [name, types.get(name) === 'number' && Number.isFinite(Number(text)) ? Number(text) : types.get(name) === 'boolean' ? text === 'true' : text]);
  return { query, show, ...(title.trim() === '' ? {} : { title: title.trim() }), ...(given.length === 0 ? {} : { values: Object.fromEntries(given) }) };
}

const shows = [['table', 'a table'], ['bars', 'bars'], ['number', 'a number']] as const;
// What a report fills in by itself where a query asks for it by this name.
const own = new Set(['event', 'hours', 'from', 'to']);

/** Which saved queries a report shows, in which order and how. */
export function PartFields({ parts, change, queries }: {
  parts: readonly Keyed<PartDraft>[]; change: (parts: readonly Keyed<PartDraft>[]) => void; queries: readonly SavedQuery[];
}) {
  const put = (at: number, value: Partial<PartDraft>): void => change(parts.map((part, index) => (index === at ? { key: part.key, value: { ...part.value, ...value } } : part)));
  const up = (at: number): void => change(parts.map((part, index) => (index === at - 1 ? parts[at] : index === at ? parts[at - 1] : part) ?? part));
  const [first] = queries;
  return (
    <fieldset class="rows">
      <legend>Saved queries it shows</legend>
      {queries.length === 0 && <p class="soft">None is saved yet: write one under Ask in SQL and give it a name.</p>}
      {parts.map(({ key, value }, index) => (
        <div key={key} class="part" role="group" aria-label={`Query ${index + 1}`}>
          <div class="fields">
            <label>Query<select value={value.query} onChange={(event) => put(index, { query: event.currentTarget.value, values: {} })}>
              {queries.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
              {!queries.some(({ id }) => id === value.query) && <option value={value.query}>{value.query} (gone)</option>}
            </select></label>
            <label>Shown as<select value={value.show} onChange={(event) => put(index, { show: shows.find(([name]) => name === event.currentTarget.value)?.[0] ?? 'table' })}>
              {shows.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
            </select></label>
            <label>Heading<input value={value.title} maxLength={200} placeholder="the query's name" autocomplete="off" onInput={(event) => put(index, { title: event.currentTarget.value })} /></label>
            {queries.find(({ id }) => id === value.query)?.parameters.map((parameter) => (
              <label key={parameter.name}>Value of {parameter.name}
                <input value={value.values[parameter.name] ?? ''} autocomplete="off" placeholder={own.has(parameter.name) ? 'the report\'s own' : String(parameter.default ?? '')}
                  inputMode={parameter.type === 'number' ? 'decimal' : 'text'}
                  onInput={(event) => put(index, { values: { ...value.values, [parameter.name]: event.currentTarget.value } })} /></label>
            ))}
          </div>
          <div class="row">
            {index > 0 && <button type="button" class="quiet small" aria-label={`Move query ${index + 1} up`} onClick={() => up(index)}>Up</button>}
            <button type="button" class="quiet small" aria-label={`Take out query ${index + 1}`} onClick={() => change(parts.filter((_, at) => at !== index))}>Take out</button>
          </div>
        </div>
      ))}
      {first !== undefined && <button type="button" class="quiet small" onClick={() => change([...parts, keyed(partDraft({ query: first.id, show: 'table' }))])}>Add a query</button>}
    </fieldset>
  );
}

const deliveryKinds = [['mail', 'mail', 'Address', 'manager@example.org'], ['webhook', 'webhook', 'Address', 'https://hooks.example.org/in'],
  ['store', 'object store', 'Folder below reports/', 'daily'], ['file', 'fetched here', '', '']] as const;

/** To whom something goes. Without `withFormats` everybody gets what fits: mail a page, a webhook JSON. */
export function DeliveryFields({ deliveries, change, kinds, withFormats }: {
  deliveries: readonly Keyed<Delivery>[]; change: (deliveries: readonly Keyed<Delivery>[]) => void; kinds: readonly Delivery['kind'][]; withFormats: boolean;
}) {
  const group = useRef<HTMLFieldSetElement>(null);
  const put = (at: number, value: Partial<Delivery>): void => change(deliveries.map((one, index) => (index === at ? { key: one.key, value: { ...one.value, ...value } } : one)));
  const offered = deliveryKinds.filter(([kind]) => kinds.includes(kind));
  const remove = (index: number): void => {
    change(deliveries.filter((_, at) => at !== index));
    // The button that was pressed is gone: the keyboard goes on at the one that is always there.
    group.current?.querySelector<HTMLButtonElement>(':scope > button')?.focus();
  };
  return (
    <fieldset class="rows" ref={group}>
      <legend>Recipients</legend>
      {deliveries.map(({ key, value }, index) => {
        const [, , label = '', example = ''] = deliveryKinds.find(([kind]) => kind === value.kind) ?? [];
        return (
          <div key={key} class="row" role="group" aria-label={`Recipient ${index + 1}`}>
            <label>By<select value={value.kind} onChange={(event) => put(index, { kind: offered.find(([kind]) => kind === event.currentTarget.value)?.[0] ?? 'mail' })}>
              {offered.map(([kind, name]) => <option key={kind} value={kind}>{name}</option>)}
            </select></label>
            {value.kind !== 'file' && <label class="spread">{label}<input value={value.target} placeholder={example} required={value.kind !== 'store'} maxLength={2000} autocomplete="off"
              inputMode={value.kind === 'mail' ? 'email' : value.kind === 'webhook' ? 'url' : 'text'} onInput={(event) => put(index, { target: event.currentTarget.value })} /></label>}
            {withFormats && <label>Format<select value={value.format} onChange={(event) => put(index, { format: formatOf(event.currentTarget.value) })}>
              {formats.map((format) => <option key={format} value={format}>{format.toUpperCase()}</option>)}
            </select></label>}
            <button type="button" class="quiet small" aria-label={`Take out recipient ${index + 1}`} onClick={() => remove(index)}>Take out</button>
          </div>
        );
      })}
      <button type="button" class="quiet small" onClick={() => change([...deliveries, keyed({ kind: 'mail', target: '', format: 'html' })])}>Add a recipient</button>
    </fieldset>
  );
}

export function formatOf(text: string): Format {
  return formats.find((format) => format === text) ?? 'html';
}
