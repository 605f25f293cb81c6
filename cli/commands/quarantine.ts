import { readFile } from 'node:fs/promises';
import { decodeEnvelope } from '#core/contract/envelope.ts';
import { encodeRecord } from '#core/contract/records.ts';
import { messageOf, WatershedError } from '#core/errors.ts';
import { topics, type Topic } from '#core/log/log.ts';
import { parseLossless } from '#sql/http/lossless.ts';
import { openClient } from '../client.ts';
import { findServer } from '../server.ts';
import { renderTable } from '../table.ts';
import { textOption, type Command, type CommandInput } from '../command.ts';

export const quarantineCommand: Command = {
  name: 'quarantine',
  summary: 'See records that could not be kept, and put them back mended',
  usage: 'list [--rows] [--json] | show ID | replay ID [--file FILE]',
  help: `
list counts them by reason and component; with --rows it names each (the newest 100). show prints the bytes of one as they are, and on standard
error why they are here. replay puts the record back into its topic: as it is, or mended, from FILE. In topic posts a record is an envelope
around the source's own JSON, on one line. What was put back stays in the table, with the time.
  watershed quarantine show posts/0/1234 > record.json
  watershed quarantine replay posts/0/1234 --file record.json`,
  options: { rows: { type: 'boolean' }, json: { type: 'boolean' }, file: { type: 'string' } },
  async run(input) {
    const [action = 'list', id, ...more] = input.positionals;
    if (more.length > 0 || !['list', 'show', 'replay'].includes(action) || (id === undefined) !== (action === 'list')) {
      throw new WatershedError('bad_request', `there is no quarantine ${input.positionals.join(' ')}`, { hint: 'list, show ID or replay ID' });
    }
    if (action === 'list') return list(input);
    const record = await find(input, id ?? '');
    return action === 'show' ? show(input, record) : replay(input, record);
  },
};

/** The place that the view `lake.quarantine` knows a row by. */
const idSql = `(case when "offset" is null then 'quarantine' else topic end || '/' || cast(coalesce("partition", log_partition) as varchar)
  || '/' || cast(coalesce("offset", log_offset) as varchar))`;

async function list(input: CommandInput): Promise<number> {
  const sql = input.values['rows'] === true
    ? `select ${idSql} as id, "at", component, topic, bytes_length, replayed_at, reason from lake.quarantine order by "at" desc, id limit 100`
    : `select count(*) as records, count(replayed_at) as put_back, component, topic, max("at") as latest, max(${idSql}) as one_of_them, reason
       from lake.quarantine group by component, topic, reason order by records desc, reason`;
  const answer = await ask(input, sql, []);
  if (input.values['json'] === true) input.out(`${answer}\n`);
  else input.out(renderTable(parseLossless(answer), process.stdout.columns ?? 160).text);
  return 0;
}

interface Record {
  readonly id: string;
  readonly at: string;
  readonly component: string;
  readonly reason: string;
  readonly topic: string;
  /** Of the record in its topic; undefined for one that never was in the log. */
  readonly partition: number | undefined;
  readonly bytes: Buffer;
  readonly bytesLength: number;
  readonly replayedAt: string | undefined;
}

async function find(input: CommandInput, id: string): Promise<Record> {
  const answer: unknown = parseLossless(await ask(input, `select "at", component, reason, topic, "partition", bytes, bytes_length, replayed_at
    from lake.quarantine where ${idSql} = $1 order by "at" desc limit 1`, [id]));
  const rows: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'rows') : undefined;
  const row: unknown = Array.isArray(rows) ? rows[0] : undefined;
  if (!Array.isArray(row)) throw new WatershedError('not_found', `there is no record ${id} in quarantine`, { hint: '`watershed quarantine list --rows` names them' });
  const cells = row.map((value: unknown) => value === null || value === undefined ? undefined : String(value));
  const [at = '', component = '', reason = '', topic = '', partition, bytes = '', length = '0', replayedAt] = cells;
  return {
    id, at, component, reason, topic, bytes: Buffer.from(bytes, 'base64'), bytesLength: Number(length), replayedAt,
    partition: partition === undefined ? undefined : Number(partition),
  };
}

function show({ out, note }: CommandInput, { id, at, component, reason, topic, bytes, bytesLength, replayedAt }: Record): number {
  note(`${id}, topic ${topic}, set aside by ${component} at ${at}: ${reason}`);
  if (replayedAt !== undefined) note(`put back at ${replayedAt}`);
  if (bytes.length < bytesLength) note(`only the first ${bytes.length} of ${bytesLength} bytes were kept`);
  out(bytes);
  return 0;
}

async function replay(input: CommandInput, record: Record): Promise<number> {
  const { id, partition: origin } = record;
  if (record.replayedAt !== undefined) {
    throw new WatershedError('conflict', `${id} was put back at ${record.replayedAt}`, { hint: 'if that failed too, it is in quarantine anew: `watershed quarantine list --rows`' });
  }
  const file = textOption(input, 'file');
  if (file === undefined && record.bytes.length < record.bytesLength) {
    throw new WatershedError('bad_request', `only the first ${record.bytes.length} of its ${record.bytesLength} bytes were kept`, { hint: 'give the whole record with --file' });
  }
  const bytes = trimEnd(file === undefined ? record.bytes : await readFile(file).catch((cause: unknown) => {
    throw new WatershedError('bad_request', `${file} cannot be read: ${messageOf(cause)}`, { cause });
  }));
  const topic = topics.find((candidate) => candidate === record.topic);
  if (topic === undefined) throw new WatershedError('bad_request', `${record.topic} is no topic that records can be put back to`);
  check(topic, bytes);
  await using client = await openClient(input.config);
  const partition = origin !== undefined && origin < await client.log.partitions(topic) ? origin : 0;
  // First the record, then the word that it is back: who dies between is asked again, and a post that comes twice is
  // kept once.
  const offset = await client.log.append(topic, partition, [bytes]);
  const [named = '', place, at] = id.split('/');
  await client.log.append('quarantine', 0, [encodeRecord('quarantine', {
    at: record.at, component: record.component, reason: record.reason, topic: named, partition: Number(place), offset: at,
    replayed_at: new Date(client.clock.now()),
  })]);
  input.note(`${id} is back, as ${topic}/${partition}/${offset}`);
  return 0;
}

function trimEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end--;
  return bytes.subarray(0, end);
}

/** What would come straight back is refused here. */
function check(topic: Topic, bytes: Buffer): void {
  const refuse = (cause: unknown): never => {
    throw new WatershedError('bad_request', `this is no record of topic ${topic}: ${messageOf(cause)}`, {
      cause, hint: 'save it with `watershed quarantine show ID > FILE`, mend it, and give it with --file FILE',
    });
  };
  if (bytes.includes(10)) refuse(new Error('it has a line break'));
  try {
    const whole: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof whole !== 'object' || whole === null || Array.isArray(whole)) throw new Error('it is no JSON object');
    if (topic === 'posts') decodeEnvelope(bytes);
  } catch (cause) {
    refuse(cause);
  }
}

async function ask({ config, signal }: CommandInput, sql: string, params: readonly unknown[]): Promise<string> {
  const server = await findServer(config);
  return (await server.request('/api/sql?format=json', { method: 'POST', body: { sql, params }, accept: '*/*', signal })).text();
}
