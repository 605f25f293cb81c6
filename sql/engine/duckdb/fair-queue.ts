/** Waiting things by owner: the owners take turns, each owner's things keep their order. */
export interface FairQueue<Item> {
  readonly size: number;
  add(owner: string, item: Item): void;
  /** The next one, taken out; undefined where nothing waits. */
  next(): Item | undefined;
  /** Takes one out of its place; false where it is not there any more. */
  remove(owner: string, item: Item): boolean;
}

export function createFairQueue<Item>(): FairQueue<Item> {
  // A Map keeps insertion order: the owner whose turn it was goes to the end.
  const waiting = new Map<string, Item[]>();
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(owner, item) {
      const list = waiting.get(owner);
      if (list === undefined) waiting.set(owner, [item]);
      else list.push(item);
      size += 1;
    },
    next() {
      for (const [owner, list] of waiting) {
        const item = list.shift();
        waiting.delete(owner);
        if (list.length > 0) waiting.set(owner, list);
        if (item === undefined) continue;
        size -= 1;
        return item;
      }
      return undefined;
    },
    remove(owner, item) {
      const list = waiting.get(owner);
      const index = list?.indexOf(item) ?? -1;
      if (list === undefined || index === -1) return false;
      list.splice(index, 1);
      if (list.length === 0) waiting.delete(owner);
      size -= 1;
      return true;
    },
  };
}
