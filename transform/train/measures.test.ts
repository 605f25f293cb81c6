import { accuracy, calibrationError, confusion, macroF1, perClass, type Judged } from './measures.ts';

const judged = (pairs: readonly (readonly [number, number, number?])[]): Judged[] =>
  pairs.map(([truth, said, score = 1]) => ({ truth, said, score }));

// Worked by hand: class 0 has 2 of 3 right and is said 3 times, class 1 has 1 of 2 right and is said twice.
const five = judged([
  [0, 0],
  [0, 0],
  [0, 1],
  [1, 1],
  [1, 0],
]);

test('counts confusion, precision, recall and F1', () => {
  expect(confusion(five, 2)).toEqual([
    [2, 1],
    [1, 1],
  ]);
  const [zero, one] = perClass(five, 2);
  expect(zero).toEqual({ precision: 2 / 3, recall: 2 / 3, f1: 2 / 3, support: 3 });
  expect(one).toEqual({ precision: 0.5, recall: 0.5, f1: 0.5, support: 2 });
  expect(macroF1(five, 2)).toBeCloseTo((2 / 3 + 0.5) / 2, 12);
  expect(accuracy(five)).toBeCloseTo(0.6, 12);
});

test('a class that is said though it never occurs counts with an F1 of 0; one that neither occurs nor is said does not count', () => {
  expect(
    macroF1(
      judged([
        [0, 0],
        [0, 1],
      ]),
      3,
    ),
  ).toBeCloseTo((2 / 3 + 0) / 2, 12);
  expect(macroF1(judged([[0, 0]]), 3)).toBe(1);
});

test('calibration error is the gap between what is promised and what is kept', () => {
  const half = judged([
    [0, 0, 0.95],
    [0, 1, 0.95],
    [1, 1, 0.55],
    [1, 0, 0.55],
  ]);
  expect(calibrationError(half)).toBeCloseTo((0.45 + 0.05) / 2, 12);
  expect(
    calibrationError(
      judged([
        [0, 0, 1],
        [1, 1, 1],
      ]),
    ),
  ).toBe(0);
});
