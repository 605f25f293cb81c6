import { WatershedError } from '#core/errors.ts';

/**
 * What is learned of one event without labels, post by post: where its posts lie on average along the models'
 * directions, and in how many of them each word stood. The words are counted lossily: when there are more than
 * `wordsMax`, the rarest are forgotten, so that the memory of an event is bounded and only words that many posts share
 * are kept (Manku and Motwani, VLDB 2002).
 */
export interface EventState {
  posts: number;
  readonly lines: Float32Array;
  readonly words: Map<number, number>;
}

/**
 * Words that are kept of an event. 1,024 against 16,384 costs less than 0.001 of macro-F1 on T6; the state is then at
 * most 8 KB, which is written with every commit that touches the event.
 */
const wordsMax = 1024;

/** The mean of the training events counts as so many posts, until an event's own take over. */
const priorPosts = 200;

/** The state of an event that was never seen. */
export function newEvent(priorLines: Float32Array): EventState {
  return { posts: 0, lines: Float32Array.from(priorLines), words: new Map() };
}

/** Takes one post into the state: where it lies along each direction, and the hashes of its different words. */
export function adapt(state: EventState, lines: Float32Array, words: readonly number[]): void {
  state.posts++;
  const share = 1 / (priorPosts + state.posts);
  for (let index = 0; index < lines.length; index++) {
    const mean = state.lines[index] ?? 0;
    state.lines[index] = mean + ((lines[index] ?? 0) - mean) * share;
  }
  for (const word of words) state.words.set(word, (state.words.get(word) ?? 0) + 1);
  if (state.words.size > wordsMax) forgetRare(state.words);
}

function forgetRare(words: Map<number, number>): void {
  for (let rare = 1; words.size > wordsMax / 2; rare++) {
    for (const [word, count] of words) if (count <= rare) words.delete(word);
  }
}

const magic = 0x32415357;

/** The state as bytes, the same for the same state: number of posts, lines, words by hash. */
export function encodeState(state: EventState): Uint8Array {
  const words = Int32Array.from(state.words.keys()).sort();
  const bytes = Buffer.alloc(20 + 4 * state.lines.length + 8 * words.length);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(state.lines.length, 4);
  bytes.writeDoubleLE(state.posts, 8);
  bytes.writeUInt32LE(words.length, 16);
  let at = 20;
  for (const value of state.lines) at = bytes.writeFloatLE(value, at);
  for (const word of words) at = bytes.writeUInt32LE(state.words.get(word) ?? 0, bytes.writeInt32LE(word, at));
  return bytes;
}

/** Throws `corrupt` for bytes that `encodeState` did not make for a model of so many directions. */
export function decodeState(bytes: Uint8Array, directions: number): EventState {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole =
    buffer.length >= 20 &&
    buffer.readUInt32LE(0) === magic &&
    buffer.readUInt32LE(4) === directions &&
    buffer.length === 20 + 4 * directions + 8 * buffer.readUInt32LE(16);
  if (!whole) {
    throw new WatershedError('corrupt', 'what a classifier adapted to is not what this model wrote', {
      hint: 'a new model version starts with a new adaptation: this is a defect, or the file was changed',
    });
  }
  const state: EventState = { posts: buffer.readDoubleLE(8), lines: new Float32Array(directions), words: new Map() };
  for (let index = 0; index < directions; index++) state.lines[index] = buffer.readFloatLE(20 + 4 * index);
  for (let at = 20 + 4 * directions; at < buffer.length; at += 8)
    state.words.set(buffer.readInt32LE(at), buffer.readUInt32LE(at + 4));
  return state;
}
