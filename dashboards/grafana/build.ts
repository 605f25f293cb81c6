// Writes the dashboards and provisioning files: node dashboards/grafana/build.ts
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { dump } from 'js-yaml';
import { alertRules } from './alerts.ts';
import { dashboards } from './dashboards.ts';
import { dataSourceUid, type Variant, variants } from './query.ts';

/** Every generated file by its path below `generated/`. */
export function generate(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const variant of variants) {
    for (const [name, build] of Object.entries(dashboards)) {
      files.set(`${variant.name}/dashboards/${name}.json`, `${JSON.stringify(numbered(build(variant).build()), null, 2)}\n`);
    }
    const provisioning: Readonly<Record<string, unknown>> = {
      datasources: dataSources(variant), dashboards: provider, alerting: alertRules(variant) };
    for (const [kind, content] of Object.entries(provisioning)) {
      files.set(`${variant.name}/provisioning/${kind}/watershed.yaml`, dump(content, { lineWidth: 140, noRefs: true }));
    }
  }
  return files;
}

/** The SDK leaves panels without ids; Grafana would number them anew at each load, and links to a panel would break. */
function numbered<Model extends { panels?: object[] }>(model: Model): Model {
  return { ...model, panels: model.panels?.map((panel, index) => ({ ...panel, id: index + 1 })) };
}

const provider = {
  apiVersion: 1,
  providers: [{
    name: 'Watershed', orgId: 1, folder: 'Watershed', type: 'file', updateIntervalSeconds: 30, allowUiUpdates: true,
    options: { path: '/var/lib/grafana/dashboards/watershed' },
  }],
};

/** Grafana replaces $NAME by its own environment, so no secret stands in the file. */
function dataSources(variant: Variant): Readonly<Record<string, unknown>> {
  const common = { name: 'Watershed', uid: dataSourceUid, type: variant.plugin, access: 'proxy', isDefault: true };
  const postgres = {
    ...common, url: '$WATERSHED_PGWIRE_HOST', user: '$WATERSHED_TOKEN_NAME', secureJsonData: { password: '$WATERSHED_TOKEN' },
    jsonData: { database: 'lake', sslmode: 'disable', maxOpenConns: 10, maxIdleConns: 5, connMaxLifetime: 3600, postgresVersion: 1500, timescaledb: false, timeInterval: '1m' },
  };
  const trino = { ...common, url: '$TRINO_URL', basicAuth: false, jsonData: { enableImpersonation: false } };
  return { apiVersion: 1, datasources: [variant.name === 'postgres' ? postgres : trino] };
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, 'generated');
  await rm(folder, { recursive: true, force: true });
  for (const [path, content] of generate()) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}
