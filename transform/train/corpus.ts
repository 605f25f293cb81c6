import { gunzipSync } from 'node:zlib';
import { informationTypes, type InformationType, type RelevanceLabel } from '../classifiers/classifier.ts';

/** A labelled post of samples/training. */
export interface LabelledPost {
  readonly id: bigint;
  readonly text: string;
  readonly relevance: RelevanceLabel | undefined;
  /** As an index of `informationTypes`. */
  readonly type: number | undefined;
}

export interface LabelledEvent {
  readonly set: 't6' | 't26';
  readonly name: string;
  /** What happened, whatever set it is from: the same for both recordings of one crisis. */
  readonly crisis: string;
  /** In the order of time, as a stream would bring them; texts differ. */
  readonly posts: readonly LabelledPost[];
}

const typeNames: Readonly<Record<string, InformationType>> = {
  'Affected individuals': 'affected_individuals',
  'Infrastructure and utilities': 'infrastructure_and_utilities',
  'Donations and volunteering': 'donations_and_volunteering',
  'Caution and advice': 'caution_and_advice',
  'Sympathy and support': 'sympathy_and_support',
  'Other Useful Information': 'other_useful_information',
};

/** Crises that both sets have, under the name of T26. */
const sharedCrises: Readonly<Record<string, string>> = {
  '2013-alberta-floods': '2013-alberta-floods',
  '2013-boston-bombings': '2013-boston-bombings',
  '2013-west-texas-explosion': '2013-west-texas-explosion',
};

interface Line {
  readonly set: 't6' | 't26';
  readonly event: string;
  readonly id: string;
  readonly text: string;
  readonly topic?: string;
  readonly type?: string;
  readonly informativeness?: string;
}

/** Reads samples/training/crisislex.jsonl.gz; of texts that repeat within an event the first stays. */
export function readCorpus(gzipped: Uint8Array): readonly LabelledEvent[] {
  const lines = gunzipSync(gzipped)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    // The file is ours and its lines are made by one script: the shape is that of `Line`.
    .map((line) => JSON.parse(line) as Line);
  const events = Map.groupBy(lines, ({ set, event }) => `${set}/${event}`);
  return [...events.values()].flatMap((some) => {
    const [first] = some;
    if (first === undefined) return [];
    const posts = dropRepeated(some.toSorted((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1))).map(labelled);
    return [{ set: first.set, name: first.event, crisis: sharedCrises[first.event] ?? first.event, posts }];
  });
}

/** Texts are the same when they differ in links, case and spaces only. */
function dropRepeated(lines: readonly Line[]): readonly Line[] {
  const seen = new Set<string>();
  return lines.filter(({ text }) => {
    const key = text
      .replace(/https?:\S*/g, '')
      .toLowerCase()
      .replace(/\s+/g, ' ')
      .trim();
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function labelled({ id, text, topic, type, informativeness }: Line): LabelledPost {
  const known = typeNames[type ?? ''];
  return {
    id: BigInt(id),
    text,
    relevance: relevanceOf(topic, informativeness),
    type: known === undefined ? undefined : informationTypes.indexOf(known),
  };
}

/**
 * T6 says on-topic or off-topic; in T26 all but "Not related" is about the crisis, and "Not applicable" says nothing.
 */
function relevanceOf(topic: string | undefined, informativeness: string | undefined): RelevanceLabel | undefined {
  if (topic !== undefined) return topic === 'on-topic' ? 'relevant' : 'not_relevant';
  if (informativeness === 'Not related') return 'not_relevant';
  return informativeness?.startsWith('Related') === true ? 'relevant' : undefined;
}
