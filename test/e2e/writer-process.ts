/** The warehouse alone, configured by the environment as `watershed run warehouse` is: a process for tests to kill. */
import { readConfig } from '#core/config.ts';
import { openFoundation } from '#core/main.ts';
import { openWarehouse, warehouseProgram } from '#warehouse/main.ts';

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await using foundation = await openFoundation(readConfig());
const warehouse = await openWarehouse(foundation);
process.stdout.write('ready\n');
await warehouseProgram(foundation, warehouse, { onCommit: () => undefined }).run(stop.signal);
