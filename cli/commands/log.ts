import { randomUUID } from 'node:crypto';
import { changeLog } from '#core/lake.ts';
import { WatershedError } from '#core/errors.ts';
import { encodeRecord } from '#core/contract/records.ts';
import { topics } from '#core/log/log.ts';
import { openClient } from '../client.ts';
import type { Command } from '../command.ts';

export const logCommand: Command = {
  name: 'log',
  summary: 'Change over to another log',
  usage: 'change --give-up',
  help: `
A lake is filled from one log. To go over to another (KAFKA_BROKERS set, unset, or a topic made anew): stop Watershed, set the variables of
the new log, start the database alone or give DATABASE_URL, and run this. Whatever the old log still held and was not landed is given up;
journal gets a gap that says so. --give-up says that you know.`,
  options: { 'give-up': { type: 'boolean' } },
  async run({ config, positionals, values, note }) {
    if (positionals.join(' ') !== 'change' || values['give-up'] !== true) {
      throw new WatershedError('bad_request', 'this gives up what the old log still holds', {
        hint: 'let the old log be landed first (`watershed status`), then: watershed log change --give-up',
      });
    }
    await using client = await openClient(config);
    const { log, database, clock } = client;
    await Promise.all(topics.map((topic) => log.ensureTopic(topic, topic === 'posts' ? config.WATERSHED_LOG_PARTITIONS : 1)));
    const identity = await log.identity('posts');
    const { before } = await changeLog(database, log.kind, identity);
    if (before === identity) {
      note('The lake is filled from this log already; nothing was changed.');
      return 0;
    }
    await log.append('journal', 0, [encodeRecord('journal', {
      at: new Date(clock.now()), source: 'log', kind: 'gap', cause: 'the log was changed',
      detail: JSON.stringify({ before, after: identity, change: randomUUID() }),
    })]);
    note(`The lake is now filled from ${identity}; the gap is on record in journal.`);
    return 0;
  },
};
