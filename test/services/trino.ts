import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder, java, maven, program, run } from './install.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, waitUntilReady } from './process.ts';

// The first compiler only, and one thread for garbage: starts in two thirds of the time, and tests start it often.
const quickStart = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];

/** The last version whose archives are on Maven Central. */
const trinoVersion = '476';

export interface TrinoCatalog {
  /** postgres://user:password@host:port/database of the Iceberg catalog. */
  readonly database: string;
  /** `catalog_name` in its tables. */
  readonly name: string;
  /** file:///… or s3://bucket/… */
  readonly warehouse: string;
  readonly s3?: { readonly endpoint: string; readonly region: string; readonly accessKey: string; readonly secretKey: string };
  /** Refuses every write, as the engine of a lake should be set up. */
  readonly readOnly?: boolean;
}

export interface TrinoService extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Trino, one node, with an Iceberg catalog of each given name. Ready when it answers a statement over a table. */
export async function startTrino(options: { readonly catalogs: Readonly<Record<string, TrinoCatalog>>; readonly heapMiB?: number }): Promise<TrinoService> {
  const [javaPath, installation, folder] = await Promise.all([java(24), trino(), temporaryFolder('trino')]);
  const [port = 0] = await freePorts(1);
  const heapMiB = options.heapMiB ?? 1024;
  const catalogFolder = join(folder, 'catalog');
  await mkdir(catalogFolder);
  for (const [name, catalog] of Object.entries(options.catalogs)) {
    await writeFile(join(catalogFolder, `${name}.properties`), lines(catalogSettings(catalog)));
  }
  const query = `${Math.floor(heapMiB * 0.375)}MB`;
  await writeFile(join(folder, 'config.properties'), lines({
    coordinator: 'true', 'node-scheduler.include-coordinator': 'true', 'http-server.http.port': String(port),
    'discovery.uri': `http://127.0.0.1:${port}`, 'query.max-memory-per-node': query, 'query.max-memory': query,
    'memory.heap-headroom-per-node': `${Math.floor(heapMiB * 0.25)}MB`,
  }));
  await writeFile(join(folder, 'log.properties'), 'io.trino=WARN\nbootstrap=WARN\n');
  const process = await startProcess({
    command: javaPath,
    args: [...quickStart, `-Xmx${heapMiB}M`, '-XX:+ExitOnOutOfMemoryError', '-XX:ReservedCodeCacheSize=256M', '-Djdk.attach.allowAttachSelf=true',
      '-Dfile.encoding=UTF-8', '--sun-misc-unsafe-memory-access=allow', '--enable-native-access=ALL-UNNAMED',
      '-Dnode.environment=test', '-Dnode.id=test', '-Dnode.bind-ip=127.0.0.1', '-Dnode.internal-address=127.0.0.1',
      `-Dnode.data-dir=${folder}`, `-Dconfig=${join(folder, 'config.properties')}`, `-Dcatalog.config-dir=${catalogFolder}`,
      `-Dplugin.dir=${join(installation, 'plugin')}`, `-Dlog.levels-file=${join(folder, 'log.properties')}`,
      '-cp', join(installation, 'lib/*'), 'io.trino.server.TrinoServer'],
    folder,
  });
  const url = `http://127.0.0.1:${port}`;
  // It listens, and even says that it has started, up to five seconds before a node takes work.
  const first = Object.keys(options.catalogs)[0] ?? 'system';
  await waitUntilReady('trino', { folder, process, timeoutMs: 400_000 }, () => answers(url, `select count(*) from ${first}.information_schema.tables`));
  const stop = async (): Promise<void> => {
    await process.kill();
    await removeFolder(folder);
  };
  return { url, pid: process.pid, stop, [Symbol.asyncDispose]: stop };
}

function catalogSettings(catalog: TrinoCatalog): Record<string, string> {
  const { hostname, port, pathname, username, password } = new URL(catalog.database);
  const files: Record<string, string> = catalog.s3 === undefined ? { 'fs.native-local.enabled': 'true', 'local.location': '/' } : {
    'fs.native-s3.enabled': 'true', 's3.endpoint': catalog.s3.endpoint, 's3.region': catalog.s3.region, 's3.path-style-access': 'true',
    's3.aws-access-key': catalog.s3.accessKey, 's3.aws-secret-key': catalog.s3.secretKey,
  };
  return {
    'connector.name': 'iceberg',
    'iceberg.catalog.type': 'jdbc',
    'iceberg.jdbc-catalog.driver-class': 'org.postgresql.Driver',
    'iceberg.jdbc-catalog.connection-url': `jdbc:postgresql://${hostname}:${port}${pathname}`,
    'iceberg.jdbc-catalog.connection-user': decodeURIComponent(username),
    'iceberg.jdbc-catalog.connection-password': decodeURIComponent(password),
    'iceberg.jdbc-catalog.catalog-name': catalog.name,
    'iceberg.jdbc-catalog.default-warehouse-dir': catalog.warehouse,
    'iceberg.max-partitions-per-writer': '1000',
    ...(catalog.readOnly === true ? { 'iceberg.security': 'read_only' }
      : { 'iceberg.expire-snapshots.min-retention': '0s', 'iceberg.remove-orphan-files.min-retention': '0s' }),
    ...files,
  };
}

const lines = (settings: Record<string, string>): string =>
  Object.entries(settings).map(([key, value]) => `${key}=${value}`).join('\n');

/** True once the statement gives a row; the protocol is to ask for `nextUri` until there is none. */
async function answers(url: string, sql: string): Promise<true | undefined> {
  let address: string | undefined = `${url}/v1/statement`;
  let rows = 0;
  for (let first = true; address !== undefined; first = false) {
    const response: Response = await fetch(address, first ? { method: 'POST', body: sql, headers: { 'X-Trino-User': 'ready' } } : {});
    if (!response.ok) return undefined;
    const page: { data?: unknown[]; nextUri?: string; error?: { message?: string } } = await response.json();
    if (page.error !== undefined) throw new Error(page.error.message ?? 'the statement failed');
    rows += page.data?.length ?? 0;
    address = page.nextUri;
  }
  return rows > 0 ? true : undefined;
}

/** The folder with `lib` and `plugin`; of the plugins only Iceberg's, because each costs time at every start. */
function trino(): Promise<string> {
  return cachedFolder(`trino-${trinoVersion}`, async (half) => {
    const server = await maven(`io.trino:trino-server-core:${trinoVersion}:tar.gz`, half);
    await run('tar', ['-xzf', server, '-C', half]);
    await rename(join(half, `trino-server-core-${trinoVersion}/lib`), join(half, 'lib'));
    await rm(join(half, `trino-server-core-${trinoVersion}`), { recursive: true });
    await rm(server);
    const iceberg = await maven(`io.trino:trino-iceberg:${trinoVersion}:zip`, half);
    await run(await program('unzip', 'unzip'), ['-q', iceberg, '-d', join(half, 'plugin')]);
    await rename(join(half, `plugin/trino-iceberg-${trinoVersion}`), join(half, 'plugin/iceberg'));
    await rm(iceberg);
    if (!existsSync(join(half, 'plugin/iceberg')) || (await readdir(join(half, 'lib'))).length === 0) throw new Error('the archives of Trino look different');
  });
}
