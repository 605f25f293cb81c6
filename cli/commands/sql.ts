import { findServer } from '../server.ts';
import { renderTable } from '../table.ts';
import { textOption, type Command, type CommandInput } from '../command.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import { createSqlClient } from '#sql/http/client.ts';

const streamed = ['json', 'ndjson', 'csv', 'arrow', 'parquet'] as const;

export const sqlCommand: Command = {
  name: 'sql',
  summary: 'Run one read-only statement on the running server',
  usage: 'STATEMENT [--format table|json|ndjson|csv|arrow|parquet] [--json]',
  help: `
Tables are in schema lake: posts, events, classifications, activity, journal, quarantine and more.
  watershed sql "select event_id, count(*) from lake.posts group by 1"
  watershed sql --format csv "from lake.posts limit 1000" > posts.csv
  watershed sql --format parquet "from lake.posts" > posts.parquet`,
  options: { format: { type: 'string' }, json: { type: 'boolean' } },
  async run(input) {
    const [statement, ...more] = input.positionals;
    if (statement === undefined || more.length > 0) {
      throw new WatershedError('bad_request', 'give one statement, in quotes', { hint: 'watershed sql "select count(*) from lake.posts"' });
    }
    const asked = input.values['json'] === true ? 'json' : textOption(input, 'format') ?? 'table';
    const format = streamed.find((name) => name === asked);
    if (format === undefined && asked !== 'table') {
      throw new WatershedError('bad_request', `there is no format ${asked}`, { hint: `these are: table, ${streamed.join(', ')}` });
    }
    const { url, fetch } = await findServer(input.config);
    const client = createSqlClient({ url, fetch });
    const { signal } = input;
    if (format !== undefined) {
      await pass(await client.stream(statement, format, [], { signal }), input);
      return 0;
    }
    const { text, rows } = renderTable(await client.query(statement, [], { signal }), process.stdout.columns ?? 160);
    input.out(text);
    input.note(`${rows} row${rows === 1 ? '' : 's'}`);
    return 0;
  },
};

async function pass(body: ReadableStream<Uint8Array>, { out, signal }: CommandInput): Promise<void> {
  try {
    for await (const chunk of body) out(chunk);
  } catch (cause) {
    if (signal.aborted) throw new WatershedError('cancelled', 'stopped', { cause });
    // The server's own reason.
    if (isWatershedError(cause) && cause.code !== 'unavailable') throw cause;
    throw new WatershedError('unavailable', 'the answer broke off before its end: what was written is not the whole result', {
      cause, hint: 'run it without --format, or with --json, to read the reason',
    });
  }
}
