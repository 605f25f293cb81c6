import { barsToPng } from './charts.ts';
import { drawable, undrawable } from './glyphs.ts';

test.each(['Wasser steigt – über 3 €', 'Привет', 'Ελλάδα', 'tiếng Việt', 'e\u0301'])('%s is drawn as it is', (text) => {
  expect(drawable(text)).toBe(text);
  expect(undrawable([text])).toEqual([]);
});

// One stand-in for each character that a reader sees: marks, joiners and tones of skin go with theirs.
test.each([['فيضان', '◊◊◊◊◊', 'Arabic'], ['洪水', '◊◊', 'Chinese'], ['ひ', '◊', 'Japanese'], ['안', '◊', 'Korean'], ['👍🏽', '◊', 'emoji'], ['☂\uFE0F', '◊', 'emoji'], ['ก้', '◊', 'Thai'], ['✓', '◊', 'other characters']])(
  '%s is not, and it is said', (text, shown, kind) => {
    expect(drawable(text)).toBe(shown);
    expect(undrawable(['plain', text])).toEqual([kind]);
  });

test('a drawing whose names have no letters has stand-ins, not empty boxes: other names, the same number, the same picture', async () => {
  const of = (name: string) => barsToPng({ steps: ['1'], series: [{ name, color: '#0072b2', values: [3] }] });
  const [foreign, marked, plain] = await Promise.all([of('洪水'), of('◊◊'), of('ab')]);
  expect(foreign.equals(marked)).toBe(true);
  expect(foreign.equals(plain)).toBe(false);
});
