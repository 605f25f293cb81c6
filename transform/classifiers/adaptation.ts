import { WatershedError } from '#core/errors.ts';

/**
 * What is learned of one event without labels, post by post: the mean of its posts' vectors, and in how many of its posts
 * each word stood. The words are counted lossily: when there are more than `wordsMax`, the rarest are forgotten, so that
 * the memory of an event is bounded and only words that many posts share are kept (Manku and Motwani, VLDB 2002).
 */
export interface EventState {
  posts: number;
  readonly mean: Float32Array;
  readonly words: Map<number, number>;
}

/**
 * Words that are kept of an event. 1,024 against 16,384 costs less than 0.001 of macro-F1 on T6; the state is then at most
 * 8 KB, which is written with every commit that touches the event.
 */
const wordsMax = 1024;

/** The mean of the training events counts as so many posts, until an event's own take over. */
const meanPriorPosts = 200;

/** The state of an event that was never seen. */
export function newEvent(priorMean: Float32Array): EventState {
  return { posts: 0, mean: Float32Array.from(priorMean), words: new Map() };
}

/** Takes one post into the state: its vector (of length 1, or all zeros) and its different words. */
export function adapt(state: EventState, vector: Float32Array, words: readonly { readonly hash: number }[]): void {
  state.posts++;
  const share = 1 / (meanPriorPosts + state.posts);
  for (let index = 0; index < vector.length; index++) {
    const mean = state.mean[index] ?? 0;
    state.mean[index] = mean + ((vector[index] ?? 0) - mean) * share;
  }
  for (const { hash } of words) state.words.set(hash, (state.words.get(hash) ?? 0) + 1);
  if (state.words.size > wordsMax) forgetRare(state.words);
}

function forgetRare(words: Map<number, number>): void {
  for (let rare = 1; words.size > wordsMax / 2; rare++) {
    for (const [word, count] of words) if (count <= rare) words.delete(word);
  }
}

const magic = 0x31415357;

/** The state as bytes, the same for the same state: number of posts, mean, words by hash. */
export function encodeState(state: EventState): Uint8Array {
  const words = [...state.words].sort(([a], [b]) => a - b);
  const bytes = Buffer.alloc(20 + 4 * state.mean.length + 8 * words.length);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(state.mean.length, 4);
  bytes.writeDoubleLE(state.posts, 8);
  bytes.writeUInt32LE(words.length, 16);
  let at = 20;
  for (const value of state.mean) at = bytes.writeFloatLE(value, at);
  for (const [word, count] of words) at = bytes.writeUInt32LE(count, bytes.writeUInt32LE(word, at));
  return bytes;
}

/** Throws `corrupt` for bytes that `encodeState` did not make for a model of so many dimensions. */
export function decodeState(bytes: Uint8Array, dimensions: number): EventState {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = buffer.length >= 20 && buffer.readUInt32LE(0) === magic && buffer.readUInt32LE(4) === dimensions
    && buffer.length === 20 + 4 * dimensions + 8 * buffer.readUInt32LE(16);
  if (!whole) {
    throw new WatershedError('corrupt', 'what a classifier adapted to is not what this model wrote', {
      hint: 'a new model version starts with a new adaptation: this is a defect, or the file was changed',
    });
  }
  const state: EventState = { posts: buffer.readDoubleLE(8), mean: new Float32Array(dimensions), words: new Map() };
  for (let index = 0; index < dimensions; index++) state.mean[index] = buffer.readFloatLE(20 + 4 * index);
  for (let at = 20 + 4 * dimensions; at < buffer.length; at += 8) state.words.set(buffer.readUInt32LE(at), buffer.readUInt32LE(at + 4));
  return state;
}
