import { collectorNames, type CollectorName, type CrisisEvent } from '#core/contract/event.ts';
import { WatershedError } from '#core/errors.ts';
import { textOption, type Command, type CommandInput } from '../command.ts';
import { findServer, type Server } from '../server.ts';
import { renderTable } from '../table.ts';

const actions = ['list', 'show', 'create', 'edit', 'pause', 'resume', 'archive', 'restore', 'delete', 'history'] as const;
const terms = ['any', 'all', 'none', 'accounts', 'languages', 'places'] as const;

export const eventsCommand: Command = {
  name: 'events',
  summary: 'Create, edit, pause and list the events that are followed',
  usage: `${actions.join('|')} [ID or NAME] [--any TERM,…] [--sources bluesky,x] …`,
  help: `
A term is a word, a "quoted phrase" or a #hashtag; several stand with commas between.
  watershed events create "River flood" --any 'flood,"high water",#flood' --none music --sources bluesky,x
  watershed events edit river-flood --any 'flood,inundation'
  watershed events pause river-flood
  watershed events delete river-flood --name "River flood"
Options of create and edit: --any --all --none --accounts --languages --places (lists), --sources, --description, --start, --end, --rename.`,
  options: {
    ...Object.fromEntries(terms.map((name) => [name, { type: 'string' } as const])),
    sources: { type: 'string' }, description: { type: 'string' }, start: { type: 'string' }, end: { type: 'string' },
    rename: { type: 'string' }, name: { type: 'string' }, json: { type: 'boolean' },
  },
  async run(input) {
    const [action, target, ...more] = input.positionals;
    const known = actions.find((name) => name === (action ?? 'list'));
    if (known === undefined || more.length > 0) {
      throw new WatershedError('bad_request', `there is no events ${input.positionals.join(' ')}`, { hint: `one of: ${actions.join(', ')}; names with spaces in quotes` });
    }
    const server = await findServer(input.config);
    const answer = await act(server, known, target, input);
    show(input, known, answer);
    return 0;
  },
};

async function act(server: Server, action: (typeof actions)[number], target: string | undefined, input: CommandInput): Promise<unknown> {
  if (action === 'list') return json(await server.request('/api/events'));
  if (target === undefined) throw new WatershedError('bad_request', `events ${action} asks for an event`, { hint: `watershed events ${action} ID` });
  if (action === 'create') {
    return json(await server.request('/api/events', { method: 'POST', body: { name: target, sources: ['bluesky'], rule: {}, ...bodyOf(input) } }));
  }
  const path = `/api/events/${encodeURIComponent(target)}`;
  switch (action) {
    case 'show': return json(await server.request(path));
    case 'history': return json(await server.request(`${path}/history`));
    case 'edit': return edit(server, path, input);
    case 'delete':
      await server.request(path, { method: 'DELETE', body: { name: textOption(input, 'name') ?? '' } });
      return { deleted: target };
    default: return json(await server.request(`${path}/${action}`, { method: 'POST', body: {} }));
  }
}

async function edit(server: Server, path: string, input: CommandInput): Promise<unknown> {
  const now: unknown = await json(await server.request(path));
  const { rule, version } = readEvent(now);
  const { rule: changed, ...rest } = bodyOf(input);
  const name = textOption(input, 'rename');
  const body = { ...rest, ...(name === undefined ? {} : { name }), ...(changed === undefined ? {} : { rule: { ...Object(rule), ...changed } }) };
  if (Object.keys(body).length === 0) throw new WatershedError('bad_request', 'nothing was given to change', { hint: 'see watershed events --help' });
  // With the version that was read: who was quicker is not written over.
  return json(await server.request(path, { method: 'PATCH', body: { ...body, version } }));
}

function readEvent(answer: unknown): { rule: unknown; version: unknown } {
  const event = typeof answer === 'object' && answer !== null ? answer : {};
  return { rule: Reflect.get(event, 'rule'), version: Reflect.get(event, 'version') };
}

function bodyOf(input: CommandInput): Record<string, unknown> {
  const lists = terms.flatMap((name) => {
    const given = textOption(input, name);
    return given === undefined ? [] : [[name, splitTerms(given)] as const];
  });
  const sources = textOption(input, 'sources')?.split(',').map((name) => name.trim());
  const wrong = sources?.find((name) => !collectorNames.some((known) => known === name));
  if (wrong !== undefined) throw new WatershedError('bad_request', `there is no source ${wrong}`, { hint: `these are: ${collectorNames.join(', ')}` });
  const plain = ['description', 'start', 'end'].flatMap((name) => {
    const given = textOption(input, name);
    return given === undefined ? [] : [[name, given] as const];
  });
  return {
    ...(lists.length === 0 ? {} : { rule: Object.fromEntries(lists) }),
    ...(sources === undefined ? {} : { sources: sources as CollectorName[] }), // checked above
    ...Object.fromEntries(plain),
  };
}

/** Terms at commas, but not at commas within a quoted phrase. */
export function splitTerms(text: string): string[] {
  return [...text.matchAll(/\s*("[^"]*"|[^,]+?)\s*(?:,|$)/g)].map((match) => match[1] ?? '').filter((term) => term !== '');
}

async function json(response: Response): Promise<unknown> {
  return response.json();
}

function show({ values, out }: CommandInput, action: string, answer: unknown): void {
  if (values['json'] === true || !['list', 'history'].includes(action)) {
    out(`${JSON.stringify(answer, null, values['json'] === true ? 0 : 2)}\n`);
    return;
  }
  const list: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, action === 'list' ? 'events' : 'history') : [];
  const names = action === 'list' ? ['id', 'name', 'status', 'sources', 'rule'] satisfies (keyof CrisisEvent)[] : ['version', 'at', 'by', 'change', 'from', 'to'];
  const rows = Array.isArray(list) ? list.map((entry: object) => names.map((name) => Reflect.get(entry, name))) : [];
  out(renderTable({ columns: names.map((name) => ({ name, type: 'VARCHAR' })), rows }, process.stdout.columns ?? 160).text);
}
