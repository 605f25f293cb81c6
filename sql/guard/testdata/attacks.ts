import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

export interface Attack {
  readonly effect: 'runs' | 'tries' | 'spends';
  readonly sql: string;
}

/** The statements of attacks.txt, with the folder of the bait put in. */
export function readAttacks(dir: string): Attack[] {
  const lines = readFileSync(new URL('./attacks.txt', import.meta.url), 'utf8').split('\n');
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, effect, sql = ''] = /^(runs|tries|spends) \| (.*)$/.exec(line) ?? [];
      if (effect !== 'runs' && effect !== 'tries' && effect !== 'spends') throw new Error(`attacks.txt: ${line}`);
      const names: Readonly<Record<string, string>> = {
        dir,
        base: basename(dir),
        nl: '\n',
        nbsp: '\u00a0',
        bom: '\ufeff',
        zwsp: '\u200b',
      };
      return {
        effect,
        sql: sql.replaceAll(/\{(dir|base|nl|nbsp|bom|zwsp)\}/g, (_match, name: string) => names[name] ?? ''),
      };
    });
}
