/**
 * The pictures of docs/connect.md: psql and a notebook cell, at work on a small lake. `node bench/wire-pictures.ts` writes
 * docs/images/psql.svg and docs/images/notebook.svg. What they show is what the clients said, as text in a frame.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startDoor } from '../test/interop/door.ts';
import { psql18 } from '../test/interop/psql18.ts';
import { notebookPython } from '../test/services/python.ts';

const images = join(import.meta.dirname, '..', 'docs', 'images');
const run = promisify(execFile);
await using door = await startDoor({ catalogue: true });

/** Text in a dark or light frame, 13 pixels high letters, 8 wide. */
function svg(text: string, dark: boolean): string {
  const lines = text.trimEnd().split('\n');
  const width = 8 * Math.max(...lines.map((line) => line.length)) + 32;
  const [back, front] = dark ? ['#1e1e2e', '#e6e6e6'] : ['#ffffff', '#1f2328'];
  const escaped = (line: string): string => line.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const rows = lines.map((line, index) => `<text x="16" y="${30 + index * 18}" xml:space="preserve">${escaped(line)}</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${lines.length * 18 + 32}" font-family="monospace" font-size="13" fill="${front}">
<rect width="100%" height="100%" rx="6" fill="${back}" stroke="#8884"/>
${rows.join('\n')}
</svg>
`;
}

const statements = ['\\d events', 'select date_trunc(\'hour\', created_at) as hour, count(*) from posts group by 1 order by 1;', 'explain select count(*) from posts;'];
let said = '';
for (const statement of statements) {
  const { stdout } = await run(await psql18(), [door.url, '-X', '-P', 'pager=off', '-P', 'linestyle=unicode', '-c', statement]);
  said += `lake=> ${statement}\n${stdout.trimEnd()}\n\n`;
}
await writeFile(join(images, 'psql.svg'), svg(said, true));

const cell = `import pandas, psycopg
posts = psycopg.connect(url).execute("select event_id, count(*), min(created_at), max(created_at) from posts group by 1")
pandas.DataFrame(posts, columns=[column.name for column in posts.description])`;
const script = `
import nbformat, nbclient, sys
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("url = %r" % sys.argv[1]), nbformat.v4.new_code_cell(sys.argv[2])])
nbclient.NotebookClient(book, timeout=120).execute()
print(book.cells[1].outputs[0]["data"]["text/plain"])
`;
const { stdout: out } = await run(await notebookPython(), ['-c', script, door.url, cell]);
const prompt = (label: string, text: string): string => text.split('\n').map((line, index) => `${(index === 0 ? label : '').padEnd(10)}${line}`).join('\n');
await writeFile(join(images, 'notebook.svg'), svg(`${prompt('In [2]:', cell)}\n\n${prompt('Out[2]:', out)}`, false));
