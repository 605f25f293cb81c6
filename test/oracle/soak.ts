import { parseArgs } from 'node:util';
import { runOracle } from './run.ts';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { kafka: { type: 'boolean' }, apart: { type: 'boolean' }, help: { type: 'boolean' } } });
const [minutes = 10, seed = Date.now() % 1_000_000] = positionals.map(Number);
if (values.help === true || !(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error('npm run soak -- [MINUTES] [SEED] [--kafka] [--apart]\n\nTwo made-up networks, events that are edited, faults and kills; then every post is looked for.');
  process.exit(values.help === true ? 0 : 2);
}
console.error(`${minutes} minutes, seed ${seed}`);
const { wrong, history, excused, ...report } = await runOracle({
  seed, seconds: minutes * 60, note: (text) => console.error(text), kafka: values.kafka === true, apart: values.apart === true,
});
if (wrong.length > 0 || report.revived > 0) console.error(history.join('\n'));
console.log(JSON.stringify({ seed, minutes, ...report, excused: excused.length, wrong: wrong.slice(0, 50), wrongs: wrong.length }, undefined, 1));
process.exitCode = wrong.length === 0 ? 0 : 1;
