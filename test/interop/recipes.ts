import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The text of docs/connect.md. */
export const connectPage = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'connect.md'), 'utf8');

/** The section of docs/connect.md below a heading (or from another mark on). Throws where it is not there. */
export function recipeSection(heading: string): string {
  const start = connectPage.indexOf(heading);
  if (start === -1) throw new Error(`docs/connect.md has no ${heading}`);
  const next = connectPage.indexOf('\n## ', start + 4);
  return connectPage.slice(start, next < 0 ? undefined : next);
}

/** Its indented blocks, as they stand there but for the port and what else is the test's. */
export function recipes(heading: string, given: Readonly<Record<string, string>>): string[] {
  const blocks = [...recipeSection(heading).matchAll(/(?:^ {4}.*\n)+/gm)].map(([block]) => block.replaceAll(/^ {4}/gm, ''));
  return blocks.map((block) => Object.entries(given).reduce((text, [theirs, ours]) => text.replaceAll(theirs, ours), block));
}
