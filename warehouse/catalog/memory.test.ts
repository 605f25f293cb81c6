import { catalogSuite } from './catalog.suite.ts';
import { createMemoryCatalog } from './memory.ts';

catalogSuite('memory', async () => {
  const catalog = createMemoryCatalog();
  return { catalog, setEpoch: async (lease, epoch) => catalog.setEpoch(lease, epoch), dispose: async () => undefined };
});
