import { findServer } from '../server.ts';
import { renderTable } from '../table.ts';
import { textOption, type Command } from '../command.ts';
import { WatershedError } from '#core/errors.ts';
import { parseLossless } from '#sql/http/lossless.ts';

const formats = ['table', 'json', 'ndjson', 'csv'];

export const sqlCommand: Command = {
  name: 'sql',
  summary: 'Run one read-only statement on the running server',
  usage: 'STATEMENT [--format table|json|ndjson|csv] [--json]',
  help: `
Tables are in schema lake: posts, events, classifications, activity, journal, quarantine and more.
  watershed sql "select event_id, count(*) from lake.posts group by 1"
  watershed sql --format csv "from lake.posts limit 1000" > posts.csv`,
  options: { format: { type: 'string' }, json: { type: 'boolean' } },
  async run(input) {
    const [statement, ...more] = input.positionals;
    if (statement === undefined || more.length > 0) {
      throw new WatershedError('bad_request', 'give one statement, in quotes', { hint: 'watershed sql "select count(*) from lake.posts"' });
    }
    const format = input.values['json'] === true ? 'json' : textOption(input, 'format') ?? 'table';
    if (!formats.includes(format)) throw new WatershedError('bad_request', `there is no format ${format}`, { hint: `these are: ${formats.join(', ')}` });
    const server = await findServer(input.config);
    const wire = format === 'table' ? 'json' : format;
    const response = await server.request(`/api/sql?format=${wire}`, { method: 'POST', body: { sql: statement }, accept: '*/*', signal: input.signal });
    if (format !== 'table') {
      const decoder = new TextDecoder();
      if (response.body !== null) for await (const chunk of response.body) input.out(decoder.decode(chunk, { stream: true }));
      if (format === 'json') input.out('\n');
      return 0;
    }
    const result = parseLossless(await response.text());
    const { text, rows } = renderTable(result, process.stdout.columns ?? 160);
    input.out(text);
    input.note(`${rows} row${rows === 1 ? '' : 's'}`);
    return 0;
  },
};
