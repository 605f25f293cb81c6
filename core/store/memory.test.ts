import { createMemoryStore } from './memory.ts';
import { storeSuite } from './store.suite.ts';

storeSuite('the memory store', async () => {
  const store = createMemoryStore();
  return { store, another: async () => store, dispose: async () => store[Symbol.asyncDispose]() };
});
