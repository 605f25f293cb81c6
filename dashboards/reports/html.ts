import type { Cell, Document, Figure, Section } from './layout.ts';

/** Text as HTML shows it, with marks that turn the direction of writing kept to their own element. */
export function escapeHtml(text: string): string {
  return text.toWellFormed().replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
}

const style = `body{font:15px/1.5 Arial,Helvetica,sans-serif;color:#14212b;background:#ffffff;margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #d4dce1;vertical-align:top;overflow-wrap:anywhere}
td.n{text-align:right;white-space:nowrap}img{max-width:100%;height:auto}.soft{color:#546571}`;

/** The report as a page of HTML without script or outside reference. `imageOf` gives the address of the nth chart. */
export function toHtml(document: Document, imageOf: (chart: number) => string): string {
  let chart = 0;
  const sections = document.sections.map((section) => `<h2>${escapeHtml(section.title)}</h2>\n${
    section.kind === 'bars' ? image(section, imageOf(chart++)) : sectionHtml(section)}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light">
<title>${escapeHtml(document.title)}</title><style>${style}</style></head>
<body><main><h1>${escapeHtml(document.title)}</h1><p class="soft">${escapeHtml(document.subtitle)}</p>
${sections.join('\n')}
</main></body></html>
`;
}

function image(section: Extract<Section, { kind: 'bars' }>, address: string): string {
  const sums = section.bars.series.map(({ name, values }) => `${name} ${values.reduce((sum, value) => sum + value, 0)}`).join(', ');
  return `<img src="${address}" width="860" alt="${escapeHtml(`Bar chart. ${sums}`)}">`;
}

function sectionHtml(section: Exclude<Section, { kind: 'bars' }>): string {
  switch (section.kind) {
    case 'notice': return section.text.split('\n').map((line) => `<p>${escapeHtml(line)}</p>`).join('\n');
    case 'numbers': return table(['', 'Now', 'Before', 'Change'], section.numbers.map((figure) =>
      [figure.name, figure.value, figure.before ?? null, changeOf(figure)]));
    case 'table': {
      if (section.rows.length === 0) return `<p class="soft">${escapeHtml(section.empty)}</p>`;
      const left = leftOut(section);
      return `${table(section.columns, section.rows.slice(0, rowsShownMax))}${left === undefined ? '' : `\n<p class="soft">${left}</p>`}`;
    }
  }
}

/** Rows that a page or a PDF shows: people read no more, and mail programs choke on more. CSV and XLSX have all. */
export const rowsShownMax = 200;

/** What is said below a table that does not show everything. */
export function leftOut({ rows, cut }: { readonly rows: readonly unknown[]; readonly cut?: boolean }): string | undefined {
  if (rows.length <= rowsShownMax && cut !== true) return undefined;
  const shown = Math.min(rowsShownMax, rows.length);
  return `The first ${shown} rows of ${cut === true ? `more than ${rows.length}` : rows.length}${rows.length > rowsShownMax ? '; CSV and XLSX have the others' : ''}.`;
}

export function changeOf({ value, before }: Figure): string {
  if (before === undefined) return '';
  if (before === 0) return value === 0 ? '0 %' : 'new';
  const percent = Math.round((value / before - 1) * 100);
  return `${percent > 0 ? '+' : percent < 0 ? '−' : ''}${Math.abs(percent)} %`;
}

const number = new Intl.NumberFormat('en');

function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cell = (value: Cell): string => {
    if (typeof value === 'number') return `<td class="n">${number.format(value)}</td>`;
    const text = value === null ? '' : String(value);
    // Only addresses of the web become links: nothing else that a post brings is ever one.
    const shown = /^https?:\/\/[^\s]+$/.test(text) ? `<a href="${escapeHtml(text)}" rel="noreferrer">${escapeHtml(text)}</a>` : `<bdi>${escapeHtml(text)}</bdi>`;
    return `<td>${shown}</td>`;
  };
  return `<table><thead><tr>${columns.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}</tbody></table>`;
}
