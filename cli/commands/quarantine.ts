import { readFile } from 'node:fs/promises';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { parseLossless } from '#sql/http/lossless.ts';
import { putBack, type Quarantined, quarantineIdSql } from '#sql/http/put-back.ts';
import { openClient } from '../client.ts';
import { findServer } from '../server.ts';
import { renderTable } from '../table.ts';
import { textOption, type Command, type CommandInput } from '../command.ts';

export const quarantineCommand: Command = {
  name: 'quarantine',
  summary: 'See records that could not be kept, and put them back mended',
  usage: 'list [--rows] [--json] | show ID | replay ID [--file FILE] | replay --reason TEXT',
  help: `
list counts them by reason and component; with --rows it names each (the newest 100). show prints the bytes of one as they are, and on standard
error why they are here. replay puts the record back into its topic: as it is, or mended, from FILE. In topic posts a record is an envelope
around the source's own JSON, on one line. What was put back stays in the table, with the time. With --reason all go back, as they are, whose reason
begins so and that were not put back before: after an upgrade, what a newer version had written while this one still ran.
  watershed quarantine show posts/0/1234 > record.json
  watershed quarantine replay posts/0/1234 --file record.json
  watershed quarantine replay --reason 'a newer Watershed wrote it'`,
  options: { rows: { type: 'boolean' }, json: { type: 'boolean' }, file: { type: 'string' }, reason: { type: 'string' } },
  async run(input) {
    const [action = 'list', id, ...more] = input.positionals;
    const reason = textOption(input, 'reason');
    const all = action === 'replay' && reason !== undefined && reason !== '';
    if (more.length > 0 || !['list', 'show', 'replay'].includes(action) || (id === undefined) !== (action === 'list' || all)
      || (reason !== undefined && (!all || textOption(input, 'file') !== undefined))) {
      throw new WatershedError('bad_request', `there is no quarantine ${input.positionals.join(' ')}`, {
        hint: 'list, show ID, replay ID or replay --reason TEXT',
      });
    }
    if (all) return replayAll(input, reason);
    if (action === 'list') return list(input);
    const record = await find(input, id ?? '');
    return action === 'show' ? show(input, record) : replay(input, record);
  },
};

async function list(input: CommandInput): Promise<number> {
  const sql = input.values['rows'] === true
    ? `select ${quarantineIdSql} as id, "at", component, topic, bytes_length, replayed_at, reason from lake.quarantine order by "at" desc, id limit 100`
    : `select count(*) as records, count(replayed_at) as put_back, component, topic, max("at") as latest, max(${quarantineIdSql}) as one_of_them, reason
       from lake.quarantine group by component, topic, reason order by records desc, reason`;
  const answer = await ask(input, sql, []);
  if (input.values['json'] === true) input.out(`${answer}\n`);
  else input.out(renderTable(parseLossless(answer), process.stdout.columns ?? 160).text);
  return 0;
}

async function find(input: CommandInput, id: string): Promise<Quarantined> {
  const [cells] = await rowsOf(input, `select "at", component, reason, topic, "partition", bytes, bytes_length, replayed_at
    from lake.quarantine where ${quarantineIdSql} = $1 order by "at" desc limit 1`, [id]);
  if (cells === undefined) throw new WatershedError('not_found', `there is no record ${id} in quarantine`, { hint: '`watershed quarantine list --rows` names them' });
  const [at = '', component = '', reason = '', topic = '', partition, bytes = '', length = '0', replayedAt] = cells;
  return {
    id, at, component, reason, topic, bytes: Buffer.from(bytes, 'base64'), bytesLength: Number(length), replayedAt,
    partition: partition === undefined ? undefined : Number(partition),
  };
}

function show({ out, note }: CommandInput, { id, at, component, reason, topic, bytes, bytesLength, replayedAt }: Quarantined): number {
  note(`${id}, topic ${topic}, set aside by ${component} at ${at}: ${reason}`);
  if (replayedAt !== undefined) note(`put back at ${replayedAt}`);
  if (bytes.length < bytesLength) note(`only the first ${bytes.length} of ${bytesLength} bytes were kept`);
  out(bytes);
  return 0;
}

async function replay(input: CommandInput, record: Quarantined): Promise<number> {
  const file = textOption(input, 'file');
  const mended = file === undefined ? undefined : await readFile(file).catch((cause: unknown) => {
    throw new WatershedError('bad_request', `${file} cannot be read: ${messageOf(cause)}`, { cause });
  });
  await using client = await openClient(input.config);
  const place = await putBack(client, record, mended).catch((cause: unknown) => {
    // The page has a field to mend it in; here it is a file.
    if (!isWatershedError(cause, 'bad_request')) throw cause;
    throw new WatershedError('bad_request', cause.message, {
      cause, hint: `save it with \`watershed quarantine show ${record.id} > FILE\`, mend it, and give it with --file FILE`,
    });
  });
  input.note(`${record.id} is back, as ${place}`);
  return 0;
}

/** All of one reason; what cannot go back is told and stays. Exit code 1 where there is such a record. */
async function replayAll(input: CommandInput, reason: string): Promise<number> {
  const found = await rowsOf(input, `select ${quarantineIdSql} from lake.quarantine
    where replayed_at is null and substr(reason, 1, length($1)) = $1 order by "at", 1`, [reason]);
  await using client = await openClient(input.config);
  let refused = 0;
  for (const [id = ''] of found) {
    input.signal.throwIfAborted();
    await putBack(client, await find(input, id)).catch((cause: unknown) => {
      if (!isWatershedError(cause) || !['bad_request', 'conflict', 'unsupported'].includes(cause.code)) throw cause;
      refused += 1;
      input.note(`${id} stays: ${cause.message}${cause.hint === undefined ? '' : ` (${cause.hint})`}`);
    });
  }
  input.note(found.length === 0 ? 'none that was not put back has a reason that begins so; `watershed quarantine list` tells the reasons'
    : `${found.length - refused} of ${found.length} records are back`);
  return refused === 0 ? 0 : 1;
}

/** The cells as text. */
async function rowsOf(input: CommandInput, sql: string, params: readonly unknown[]): Promise<(string | undefined)[][]> {
  const answer: unknown = parseLossless(await ask(input, sql, params));
  const rows: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'rows') : undefined;
  const text = (value: unknown): string | undefined => value === null || value === undefined ? undefined : String(value);
  return (Array.isArray(rows) ? rows : []).map((row: unknown) => Array.isArray(row) ? row.map(text) : []);
}

async function ask({ config, signal }: CommandInput, sql: string, params: readonly unknown[]): Promise<string> {
  const server = await findServer(config);
  return (await server.request('/api/sql?format=json', { method: 'POST', body: { sql, params }, accept: '*/*', signal })).text();
}
