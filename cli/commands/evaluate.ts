import { join } from 'node:path';
import { evaluate } from '#transform/train/evaluate.ts';
import type { Command } from '../command.ts';

const root = join(import.meta.dirname, '..', '..');

export const evaluateCommand: Command = {
  name: 'evaluate',
  summary: 'Measure the classification on events it has never seen',
  usage: '',
  help: `
Trains once for each crisis of samples/training without it, lets the model meet its posts one after the other, and
writes docs/classification.md. Takes about ten minutes.`,
  options: {},
  async run({ note, out, signal }) {
    const { path } = await evaluate(root, note, signal);
    out(`${path}\n`);
    return 0;
  },
};
