/** Between those who find things out and the one loop that tells them: nobody gets further ahead than `capacity`. */
export interface Channel<Item> {
  /** Resolves when there is room; what is put after `close` is forgotten. */
  put(item: Item): Promise<void>;
  /** The items in order, until `close`. An error given to `fail` is thrown after them. */
  [Symbol.asyncIterator](): AsyncGenerator<Item>;
  close(): void;
  fail(error: unknown): void;
}

export function createChannel<Item>(capacity: number): Channel<Item> {
  const items: Item[] = [];
  const waitingForRoom: (() => void)[] = [];
  let wakeReader: (() => void) | undefined;
  let closed = false;
  let failure: { readonly error: unknown } | undefined;
  const close = (): void => {
    closed = true;
    wakeReader?.();
    for (const wake of waitingForRoom.splice(0)) wake();
  };
  return {
    async put(item) {
      while (items.length >= capacity && !closed) await new Promise<void>((resolve) => waitingForRoom.push(resolve));
      if (closed) return;
      items.push(item);
      wakeReader?.();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const item = items.shift();
        if (item !== undefined) {
          waitingForRoom.shift()?.();
          yield item;
        } else if (closed) {
          if (failure !== undefined) throw failure.error;
          return;
        } else {
          await new Promise<void>((resolve) => { wakeReader = resolve; });
          wakeReader = undefined;
        }
      }
    },
    close,
    fail(error) {
      failure ??= { error };
      close();
    },
  };
}
