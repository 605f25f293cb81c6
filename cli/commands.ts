import type { Command } from './command.ts';
import { eventsCommand } from './commands/events.ts';
import { loadCommand } from './commands/load.ts';
import { openCommand } from './commands/open.ts';
import { sqlCommand } from './commands/sql.ts';
import { startCommand } from './commands/start.ts';
import { tokensCommand } from './commands/tokens.ts';

/** All commands, in the order in which a newcomer needs them. */
export const commands: readonly Command[] = [startCommand, openCommand, sqlCommand, loadCommand, eventsCommand, tokensCommand];
