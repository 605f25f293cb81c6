import type { Command } from './command.ts';

/**
 * All commands, in the order in which a newcomer needs them. Each is loaded when it is asked for: what `watershed sql` does not
 * need (DuckDB, charts, the X client) took three seconds to load.
 */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import('./commands/start.ts')).startCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,
  open: async () => (await import('./commands/open.ts')).openCommand,
  sql: async () => (await import('./commands/sql.ts')).sqlCommand,
  load: async () => (await import('./commands/load.ts')).loadCommand,
  events: async () => (await import('./commands/events.ts')).eventsCommand,
  tokens: async () => (await import('./commands/tokens.ts')).tokensCommand,
  status: async () => (await import('./commands/status.ts')).statusCommand,
  quarantine: async () => (await import('./commands/quarantine.ts')).quarantineCommand,
  upkeep: async () => (await import('./commands/upkeep.ts')).upkeepCommand,
  notebook: async () => (await import('./commands/notebook.ts')).notebookCommand,
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand,
  backup: async () => (await import('./commands/backup.ts')).backupCommand,
  restore: async () => (await import('./commands/restore.ts')).restoreCommand,
  migrate: async () => (await import('./commands/migrate.ts')).migrateCommand,
  log: async () => (await import('./commands/log.ts')).logCommand,
  train: async () => (await import('./commands/train.ts')).trainCommand,
  evaluate: async () => (await import('./commands/evaluate.ts')).evaluateCommand,
};
