import { readFileSync } from 'node:fs';
import { isWatershedError } from '#core/errors.ts';
import { describeClassifier } from './classifier.suite.ts';
import { openLinear } from './linear.ts';

const read = (name: string): { path: string; bytes: Uint8Array } => ({
  path: name,
  bytes: readFileSync(new URL(`../../models/${name}`, import.meta.url)),
});
const files = { vectors: read('vectors.bin'), weights: read('crisis.bin') };

describeClassifier('linear', async () => openLinear(files));

const first = async (texts: readonly string[], question: string) => {
  await using classifier = openLinear(files);
  const { answers } = await classifier.classify(
    texts.map((text) => ({ eventId: 'event', text, lang: 'en' })),
    new Map(),
  );
  return answers.map((some) => some.find((answer) => answer.question === question));
};

test('tells kinds of information that leave no doubt', async () => {
  const types = await first(
    [
      'Please donate to the Red Cross, volunteers needed at the shelter',
      'Praying for everyone, my thoughts are with the families',
      'Death toll rises to 20, dozens injured and missing',
      'WARNING: evacuate now, tornado warning until 9pm',
      'All roads closed and power is out, bridge collapsed',
    ],
    'information_type',
  );
  expect(types.map((answer) => answer?.label)).toEqual([
    'donations_and_volunteering',
    'sympathy_and_support',
    'affected_individuals',
    'caution_and_advice',
    'infrastructure_and_utilities',
  ]);
});

test('tells a post about a flood from small talk', async () => {
  const [flood, coffee] = await first(
    ['Flood waters rise, thousands evacuated from their homes', 'i love my new shoes so much lol'],
    'relevance',
  );
  expect(flood?.label).toBe('relevant');
  expect(coffee?.label).toBe('not_relevant');
});

test("learns an event's own words without being told", async () => {
  const noise = ['lunch with my sister', 'what a game tonight', 'i need more sleep', 'new phone who dis'];
  const stream = Array.from({ length: 400 }, (_, index) =>
    index % 2 === 0 ? `Storm Zelda floods the harbour, part ${index}` : (noise[index % 4] ?? ''),
  );
  const [before] = await first(['zelda has reached the old pier'], 'relevance');
  const after = (await first([...stream, 'zelda has reached the old pier'], 'relevance')).at(-1);
  expect(after?.scores['relevant']).toBeGreaterThan(10 * (before?.scores['relevant'] ?? 1));
});

const codeOf = (open: () => unknown): unknown => {
  try {
    open();
  } catch (error) {
    return isWatershedError(error) ? `${error.code}: ${error.message}` : error;
  }
  return 'nothing';
};

test('refuses a model file that is cut short, damaged, of another version or of another kind', () => {
  const { bytes } = files.weights;
  const changed = (at: number, to: number): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    copy[at] = to;
    return copy;
  };
  const open = (weights: Uint8Array) =>
    codeOf(() => openLinear({ ...files, weights: { path: 'crisis.bin', bytes: weights } }));
  expect(open(bytes.subarray(0, bytes.length - 1))).toMatch(/^corrupt: crisis.bin is damaged or cut short/);
  expect(open(changed(bytes.length - 9, (bytes.at(-9) ?? 0) ^ 1))).toMatch(/^corrupt/);
  expect(open(changed(8, 2))).toBe('unsupported: crisis.bin is a model of format 2; this program reads format 1');
  expect(open(new Uint8Array(0))).toMatch(/^unsupported: crisis.bin is no model of ours/);
  expect(open(files.vectors.bytes)).toMatch(/^unsupported: crisis.bin holds no weights/);
});

test('refuses an adaptation that it did not make', async () => {
  await using classifier = openLinear(files);
  const classify = classifier.classify(
    [{ eventId: 'e', text: 'x', lang: 'en' }],
    new Map([['e', Buffer.from('rubbish')]]),
  );
  await expect(classify).rejects.toMatchObject({ code: 'corrupt' });
});

test('tells the language where the network does not, and only there', async () => {
  await using classifier = openLinear(files);
  const texts = [
    'Los bomberos buscan sobrevivientes entre los escombros',
    'Mindestens zehn Menschen werden nach dem Hochwasser vermisst',
    'Des centaines de personnes ont été évacuées à cause des inondations',
    'Baha na naman sa Maynila, ingat po kayo',
    '서울에 비가 많이 온다',
    '12345 !!',
  ];
  const { answers } = await classifier.classify(
    texts.map((text) => ({ eventId: 'e', text, lang: null })),
    new Map(),
  );
  expect(answers.map((some) => some.find(({ question }) => question === 'language')?.label)).toEqual([
    'es',
    'de',
    'fr',
    'tl',
    'ko',
    'und',
  ]);
  const stated = await classifier.classify([{ eventId: 'e', text: texts[0] ?? '', lang: 'es' }], new Map());
  expect(stated.answers[0]?.map(({ question }) => question)).toEqual(['relevance', 'information_type']);
});
