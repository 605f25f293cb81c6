import { toHtml } from './html.ts';
import { instantText } from './layout.ts';

/** What an alert tells: `Told` of core/reports/alerts.ts. */
interface Told {
  readonly id: string;
  readonly name: string;
  readonly condition: { readonly kind: string };
  readonly state: 'begun' | 'over' | 'test';
  readonly at: string;
  readonly since: string;
  readonly detail: string;
}

const words = { begun: 'Alert', over: 'Over', test: 'Test' } as const;

/** "Alert: Alberta bursts" */
export function alertTitle({ name, state }: Pick<Told, 'name' | 'state'>): string {
  return `${words[state]}: ${name}`;
}

/** The page that goes by mail and the JSON that goes to a webhook; `text` is what chat programs show. */
export function renderAlert(told: Told): { readonly html: Buffer; readonly json: Buffer } {
  const { id, name, condition, state, at, since, detail } = told;
  const minutes = Math.round((Date.parse(at) - Date.parse(since)) / 60_000);
  const lead = state === 'begun' ? `Since ${instantText(since)}.` : state === 'over' ? `It lasted ${minutes} minutes, from ${instantText(since)} to ${instantText(at)}.`
    : 'This is what is seen now; nothing has changed.';
  const html = toHtml({
    title: alertTitle(told), subtitle: instantText(at),
    sections: [{ kind: 'notice', title: lead, text: detail }],
  }, () => '');
  return {
    html: Buffer.from(html),
    json: Buffer.from(JSON.stringify({ alert: id, name, kind: condition.kind, state, at, since, detail, text: `${alertTitle(told)}. ${lead}\n${detail}` })),
  };
}
