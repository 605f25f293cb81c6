import { join } from 'node:path';
import { train } from '#transform/train/train.ts';
import type { Command } from '../command.ts';

/** The folder of the program: models and samples lie in it, wherever it is called from. */
const root = join(import.meta.dirname, '..', '..');

export const trainCommand: Command = {
  name: 'train',
  summary: 'Make the model of classification from the labelled posts',
  usage: '',
  help: `
Reads samples/training and models/vectors.bin and writes models/crisis.bin: the same data give the same file. Takes about
half a minute. The next start classifies with it, and what was classified before anew in the background.`,
  options: {},
  async run({ note, out }) {
    const { path, bytes } = await train(root, note);
    out(`${path} (${bytes} bytes)\n`);
    return 0;
  },
};
