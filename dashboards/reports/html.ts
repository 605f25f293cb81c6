import { undrawable } from './glyphs.ts';
import type { Cell, Document, Figure, Section } from './layout.ts';

/** Text as HTML shows it, with marks that turn the direction of writing kept to their own element. */
export function escapeHtml(text: string): string {
  return text.toWellFormed().replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
}

const style = `body{font:15px/1.5 Arial,Helvetica,sans-serif;color:#14212b;background:#ffffff;margin:0 auto;max-width:60rem;padding:1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #d4dce1;vertical-align:top}
td{overflow-wrap:break-word}
td.n,th.n{text-align:right;white-space:nowrap}img{max-width:100%;height:auto}.soft{color:#546571}
@media(max-width:600px){table.wide,table.wide tbody,table.wide tr,table.wide td{display:block}table.wide thead{display:none}
table.wide tr{border-bottom:1px solid #d4dce1;padding:.4rem 0}table.wide td{border:0;padding:.1rem 0}table.wide td.n{text-align:left}
table.wide td::before{content:attr(data-label) " ";color:#546571}}`;

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
  return `<img src="${address}" width="860" alt="${escapeHtml(`Bar chart. ${sums}`)}">${
    undrawable(section.bars.series.map(({ name }) => name)).length === 0 ? '' : `<p class="soft">The drawing has ◊ for letters that it cannot show. From the first series: ${escapeHtml(sums)}.</p>`}`;
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
// Tables of so many columns become a list where the page is narrow.
const wideFrom = 5;

/** Words that are too long for a column may break: one of them would squeeze all others to a letter a line. */
function breakable(text: string): string {
  const mark = '\u0000';
  return escapeHtml(text.replaceAll(mark, '').replaceAll(/\S{24}(?=\S)/gu, `$&${mark}`)).replaceAll(mark, '<wbr>');
}

function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const wide = columns.length >= wideFrom;
  const cell = (value: Cell, index: number): string => {
    const label = wide ? ` data-label="${escapeHtml(columns[index] ?? '')}"` : '';
    if (typeof value === 'number') return `<td class="n"${label}>${number.format(value)}</td>`;
    const text = value === null ? '' : String(value);
    // Only addresses of the web become links: nothing else that a post brings is ever one.
    const shown = /^https?:\/\/[^\s]+$/.test(text) ? `<a href="${escapeHtml(text)}" rel="noreferrer">${breakable(text.replace(/^https?:\/\//, ''))}</a>` : `<bdi>${breakable(text)}</bdi>`;
    return `<td${label}>${shown}</td>`;
  };
  const head = (name: string, index: number): string =>
    `<th scope="col"${rows.some((row) => typeof row[index] === 'number') ? ' class="n"' : ''}>${escapeHtml(name)}</th>`;
  return `<table${wide ? ' class="wide"' : ''}><thead><tr>${columns.map(head).join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}</tbody></table>`;
}
