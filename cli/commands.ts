import type { Command } from './command.ts';
import { openCommand } from './commands/open.ts';
import { sqlCommand } from './commands/sql.ts';
import { startCommand } from './commands/start.ts';

/** All commands, in the order in which a newcomer needs them. */
export const commands: readonly Command[] = [startCommand, openCommand, sqlCommand];
