import { parseArgs } from 'node:util';
import { options as settings, readConfig } from '#core/config.ts';
import { isWatershedError, messageOf, systemCode } from '#core/errors.ts';
import type { Command, CommandInput } from './command.ts';
import { commands } from './commands.ts';

const code = await main(process.argv.slice(2));
// Not process.exit: what was written to a pipe must reach its reader.
process.exitCode = code;

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(await overview());
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    note(`watershed: there is no command "${name}"; these are: ${Object.keys(commands).join(', ')}`);
    return 2;
  }
  return runCommand(await load(), rest);
}

async function runCommand(command: Command, args: readonly string[]): Promise<number> {
  let parsed: Pick<CommandInput, 'values' | 'positionals'>;
  try {
    parsed = parseArgs({
      args: [...args], allowPositionals: true,
      options: { ...command.options, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    note(`watershed ${command.name}: ${messageOf(error)}`);
    note(`usage: watershed ${command.name} ${command.usage}; --help tells more`);
    return 2;
  }
  if (parsed.values['help'] === true) {
    process.stdout.write(helpOf(command));
    return 0;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  try {
    const config = readConfig();
    return await command.run({
      ...parsed, config, signal: stop.signal, note, interactive: process.stderr.isTTY,
      out: (data) => process.stdout.write(data),
    });
  } catch (error) {
    return explain(command, error);
  }
}

function explain(command: Command, error: unknown): number {
  if (isWatershedError(error)) {
    note(`watershed ${command.name}: ${error.message}`);
    if (error.hint !== undefined) note(`  what to do: ${error.hint}`);
    return error.code === 'bad_config' || error.code === 'bad_request' ? 2 : 1;
  }
  if (systemCode(error) === 'EPIPE') return 0;
  note(`watershed ${command.name}: unexpected: ${error instanceof Error ? error.stack ?? error.message : messageOf(error)}`);
  return 1;
}

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function overview(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map((load) => load()));
  const rows = all.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`);
  return `watershed COMMAND …\n\n${rows.join('\n')}\n\nwatershed COMMAND --help tells more about one.\n\n${settingsText()}`;
}

function helpOf(command: Command): string {
  return `watershed ${command.name} ${command.usage}\n\n${command.summary}.\n\n${command.help.trim()}\n`;
}

function settingsText(): string {
  const rows = Object.entries(settings).map(([name, option]) => {
    const allowed = option.type === 'number' ? ` (${option.min} to ${option.max} ${option.unit})`
      : option.type === 'choice' ? ` (${option.choices.join(' or ')})` : '';
    const fallback = option.default === undefined ? '' : ` [${option.default}]`;
    return `  ${name}\n      ${option.description}${allowed}${fallback}`;
  });
  return `Settings, from the environment:\n${rows.join('\n')}\n`;
}
