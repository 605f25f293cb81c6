/**
 * Finds the row of a 32-bit key; built once over keys that are all different, in two to four times their number of
 * slots.
 */
export interface HashTable {
  readonly keys: Int32Array;
  /** The position of the key among `keys`, or −1. */
  indexOf(key: number): number;
}

export function createHashTable(keys: Int32Array): HashTable {
  const mask = 2 ** Math.ceil(Math.log2(Math.max(16, keys.length * 2))) - 1;
  // Key and position side by side: one look at memory for most questions.
  const slots = new Int32Array(2 * (mask + 1));
  keys.forEach((key, index) => {
    let slot = key & mask;
    while (slots[2 * slot + 1] !== 0) slot = (slot + 1) & mask;
    slots[2 * slot] = key;
    slots[2 * slot + 1] = index + 1;
  });
  return {
    keys,
    indexOf(key) {
      for (let slot = key & mask; ; slot = (slot + 1) & mask) {
        const position = slots[2 * slot + 1] ?? 0;
        if (position === 0 || slots[2 * slot] === key) return position - 1;
      }
    },
  };
}
