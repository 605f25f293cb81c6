import { WatershedError } from '#core/errors.ts';
import type { Answer, Classified, Classifier } from './classifier.ts';

/**
 * A classifier that can be understood: a post is relevant when its text holds one of the words, and its score says the
 * how manieth post of its event it was. So a test sees when a post was adapted to twice, or never.
 */
export function createMemoryClassifier(words: readonly string[], version = 'memory-1'): Classifier {
  return {
    name: 'memory',
    version,
    async classify(posts, adaptation): Promise<Classified> {
      const seen = new Map<string, number>();
      const answers = posts.map(({ eventId, text }): readonly Answer[] => {
        const count = (seen.get(eventId) ?? decodeCount(adaptation.get(eventId))) + 1;
        seen.set(eventId, count);
        const label = words.some((word) => text.toLowerCase().includes(word)) ? 'relevant' : 'not_relevant';
        const score = 1 - 1 / (count + 1);
        return [{ question: 'relevance', label, score, scores: { [label]: score } }];
      });
      return { answers, adapted: new Map([...seen].map(([event, count]) => [event, Buffer.from(String(count))])) };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function decodeCount(bytes: Uint8Array | undefined): number {
  if (bytes === undefined) return 0;
  const count = Number(Buffer.from(bytes).toString('utf8'));
  if (!Number.isInteger(count)) throw new WatershedError('corrupt', 'this is not what a memory classifier adapted to');
  return count;
}
