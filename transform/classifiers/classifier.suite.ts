import { informationTypes, questions, relevanceLabels, type Classifier, type ClassifiablePost } from './classifier.ts';

const post = (text: string, eventId = 'flood', lang: string | null = 'en'): ClassifiablePost => ({
  eventId,
  text,
  lang,
});

const posts = [
  post('Flood water is rising in the town, people are trapped on roofs'),
  post('good morning, coffee first'),
  post(''),
  post('Donate blankets and food at the school #flood'),
  post('Stay away from the river!', 'storm'),
  post('🌊🌊🌊'),
  post('\u0000\ud800 half a surrogate'),
  post('inundación en la ciudad', 'flood', null),
  post('Flood water is rising in the town, people are trapped on roofs'),
];

/** What every classifier must do. `open` gives a new one each time. */
export function describeClassifier(name: string, open: () => Promise<Classifier>): void {
  describe(`classifier ${name}`, () => {
    test('answers every post, in order, with labels of the question and probabilities', async () => {
      await using classifier = await open();
      const { answers } = await classifier.classify(posts, new Map());
      expect(answers).toHaveLength(posts.length);
      for (const some of answers) {
        expect(some.map(({ question }) => question)).toEqual(
          questions.filter((question) => some.some((answer) => answer.question === question)),
        );
        expect(some.map(({ question }) => question)).toContain('relevance');
        for (const { question, label, score, scores } of some) {
          if (question === 'relevance') expect(relevanceLabels).toContain(label);
          if (question === 'information_type') expect(informationTypes).toContain(label);
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1);
          expect(scores[label]).toBe(score);
          expect(score).toBe(Math.max(...Object.values(scores)));
        }
      }
    });

    test('gives the same whether posts come at once or in parts, with nothing kept but the adaptation', async () => {
      await using first = await open();
      const whole = await first.classify(posts, new Map());
      const adapted = new Map<string, Uint8Array>();
      const parts = [];
      for (let at = 0; at < posts.length; at += 2) {
        await using other = await open();
        const part = await other.classify(posts.slice(at, at + 2), adapted);
        parts.push(...part.answers);
        for (const [event, state] of part.adapted) adapted.set(event, Uint8Array.from(state));
      }
      expect(parts).toEqual(whole.answers);
      expect([...adapted].map(([event, state]) => [event, Buffer.from(state).toString('hex')]).sort()).toEqual(
        [...whole.adapted].map(([event, state]) => [event, Buffer.from(state).toString('hex')]).sort(),
      );
    });

    test('changes the adaptation of the events that occur, and leaves what it was given as it was', async () => {
      await using classifier = await open();
      const before = (await classifier.classify(posts, new Map())).adapted;
      const copy = new Map([...before].map(([event, state]) => [event, Buffer.from(state).toString('hex')]));
      const { adapted } = await classifier.classify([post('new water', 'storm')], before);
      expect([...adapted.keys()].filter((event) => event !== 'storm')).toEqual([]);
      expect(new Map([...before].map(([event, state]) => [event, Buffer.from(state).toString('hex')]))).toEqual(copy);
    });

    test('takes a very long text, and no posts at all', async () => {
      await using classifier = await open();
      expect((await classifier.classify([], new Map())).answers).toEqual([]);
      const long = await classifier.classify([post('water '.repeat(20_000)), post('w'.repeat(100_000))], new Map());
      expect(long.answers).toHaveLength(2);
    });
  });
}
