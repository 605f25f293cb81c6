import type { ParseArgsOptionsConfig } from 'node:util';
import type { Config } from '#core/config.ts';

/** One command of the command line. Data goes to `out`, everything for a person's eyes to `note`. */
export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What stands behind the name, such as `FILE... --event NAME`. */
  readonly usage: string;
  /** More for `--help`: what it does, examples. */
  readonly help: string;
  readonly options: ParseArgsOptionsConfig;
  /** Resolves to the exit code: 0 only on full success, 2 for wrong use, 1 otherwise. */
  run(input: CommandInput): Promise<number>;
}

export interface CommandInput {
  readonly values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
  readonly positionals: readonly string[];
  readonly config: Config;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly out: (data: string | Uint8Array) => void;
  readonly note: (text: string) => void;
  /** True where standard error is a terminal, for progress that rewrites its line. */
  readonly interactive: boolean;
}

/** The value of a text option, or undefined. */
export function textOption(input: CommandInput, name: string): string | undefined {
  const value = input.values[name];
  return typeof value === 'string' ? value : undefined;
}
