/** Finds the row of a 32-bit key; built once over keys that are all different, in twice their number of slots. */
export interface HashTable {
  readonly keys: Uint32Array;
  /** The position of the key among `keys`, or −1. */
  indexOf(key: number): number;
}

export function createHashTable(keys: Uint32Array): HashTable {
  const size = 2 ** Math.ceil(Math.log2(Math.max(16, keys.length * 2)));
  const slots = new Int32Array(size).fill(-1);
  keys.forEach((key, index) => {
    let slot = key & (size - 1);
    while (slots[slot] !== -1) slot = (slot + 1) & (size - 1);
    slots[slot] = index;
  });
  return {
    keys,
    indexOf(key) {
      for (let slot = key & (size - 1); ; slot = (slot + 1) & (size - 1)) {
        const index = slots[slot] ?? -1;
        if (index === -1 || keys[index] === key) return index;
      }
    },
  };
}
