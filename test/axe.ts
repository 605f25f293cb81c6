import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What axe-core finds wrong with the page as it is, a line per rule. */
export async function violations(page: Page): Promise<string[]> {
  // Evaluated, not added as a script: the page's own rules let no other script in.
  await page.evaluate(await readFile(axe, 'utf8'));
  const found: unknown = await page.evaluate('axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })'
    + '.then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`))');
  return Array.isArray(found) ? found.map(String) : [String(found)];
}
