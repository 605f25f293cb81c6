import type { Command } from './command.ts';
import { backupCommand } from './commands/backup.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { eventsCommand } from './commands/events.ts';
import { loadCommand } from './commands/load.ts';
import { logCommand } from './commands/log.ts';
import { migrateCommand } from './commands/migrate.ts';
import { notebookCommand } from './commands/notebook.ts';
import { openCommand } from './commands/open.ts';
import { quarantineCommand } from './commands/quarantine.ts';
import { restoreCommand } from './commands/restore.ts';
import { runCommand } from './commands/run.ts';
import { sqlCommand } from './commands/sql.ts';
import { startCommand } from './commands/start.ts';
import { statusCommand } from './commands/status.ts';
import { tokensCommand } from './commands/tokens.ts';
import { trainCommand } from './commands/train.ts';
import { upkeepCommand } from './commands/upkeep.ts';

/** All commands, in the order in which a newcomer needs them. */
export const commands: readonly Command[] = [startCommand, runCommand, openCommand, sqlCommand, loadCommand, eventsCommand, tokensCommand,
  statusCommand, quarantineCommand, upkeepCommand, notebookCommand, doctorCommand, backupCommand, restoreCommand, migrateCommand, logCommand, trainCommand, evaluateCommand,
];
