import { logSuite } from './log.suite.ts';
import { createMemoryLog } from './memory.ts';

logSuite('the memory log', async () => {
  const log = createMemoryLog();
  return { log, another: async () => log, dispose: async () => log[Symbol.asyncDispose]() };
});
