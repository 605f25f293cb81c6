import { pino } from 'pino';

type Fields = Readonly<Record<string, unknown>>;

/** Structured logs, one JSON object a line on standard error. The event's name is a short snake_case phrase. */
export interface Logger {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
  child(component: string): Logger;
}

// Whatever a field with such a name holds never reaches a log (invariant 8).
const secretPaths = ['token', 'password', 'secret', 'authorization', 'cookie', '*.token', '*.password', '*.secret',
  '*.authorization', '*.cookie', '*.connectionString'];

/** A logger to standard error. `level`: debug, info, warn, error or silent. */
export function createLogger(level: string): Logger {
  const destination = pino.destination({ dest: 2, sync: true });
  return wrap(
    pino({ level, base: null, redact: { paths: secretPaths, censor: '[secret]' }, timestamp: pino.stdTimeFunctions.isoTime },
      destination),
  );
}

export const silentLogger: Logger = createLogger('silent');

function wrap(inner: pino.Logger): Logger {
  return {
    debug: (event, fields) => inner.debug({ event, ...fields }),
    info: (event, fields) => inner.info({ event, ...fields }),
    warn: (event, fields) => inner.warn({ event, ...fields }),
    error: (event, fields) => inner.error({ event, ...fields }),
    child: (component) => wrap(inner.child({ component })),
  };
}
