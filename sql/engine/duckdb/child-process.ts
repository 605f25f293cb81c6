import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { type ChildOptions, frameKinds, frameReader, type FromChild, sendMessage, type ToChild } from './protocol.ts';

/** What a child sent: a message, or encoded rows. */
export type Frame =
  | { readonly kind: 'message'; readonly message: FromChild }
  | { readonly kind: 'rows'; readonly bytes: Uint8Array };

/** One running child. Whoever has it sends and reads in turn; nobody else does. */
export interface EngineChild {
  readonly pid: number;
  /** Keys of the store views the child holds, by name: kept by the planner, so that file lists are sent once. */
  readonly shown: Map<string, string>;
  readonly alive: boolean;
  send(message: ToChild): void;
  /** The next frame. Rejects with `unavailable` when the child has ended. */
  next(): Promise<Frame>;
  /** Resolves when the end of the answer lies here (`done` or `failed`), or the child has ended. */
  answered(): Promise<void>;
  /** How it ended, for the error of its statement: a signal or an exit code. */
  readonly ending: string;
  /** Ends it at once. Its statement, if any, fails. */
  kill(): void;
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  /** Bytes of memory it occupies; undefined where the system does not tell (only Linux does). */
  residentBytes(): Promise<number | undefined>;
  /** Processor time it has used, in milliseconds; undefined where the system does not tell. */
  cpuMs(): Promise<number | undefined>;
}

/** Frames are held in memory up to this many bytes; then the child has to wait. */
const heldBytesMax = 4 * 1024 * 1024;
const startTimeoutMs = 30_000;

/**
 * Starts a child and waits until its database stands. It gets no environment but the zone and where compiled code is
 * kept: no secret can be read from there (DuckDB 2 opens /proc/self/environ). Code that was compiled before costs a
 * child neither the time nor the memory of what strips its types (measured: 100 MB resident in place of 125, 23 of
 * its own in place of 43, a third of the time to start). `unavailable` where it does not come up.
 */
export async function startChild(options: ChildOptions, clock: Clock): Promise<EngineChild> {
  await mkdir(options.tempDir, { recursive: true, mode: 0o700 });
  // Built, the same files are JavaScript.
  const program = new URL(`./child/main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
  const process = spawn(globalThis.process.execPath, ['--max-old-space-size=256', fileURLToPath(program)], {
    env: { TZ: 'UTC', NODE_COMPILE_CACHE: join(dirname(options.tempDir), 'code') },
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    cwd: options.tempDir,
  });
  const socket = process.stdio[3];
  if (!(socket instanceof Socket) || process.pid === undefined) {
    throw new WatershedError('unavailable', 'the process for SQL statements could not be started', {
      hint: 'Look for a limit on processes or memory (ulimit -u, -v).',
    });
  }
  const child = createChild(process, process.pid, socket, options.tempDir);
  const cancelTimer = clock.timer(startTimeoutMs, () => child.kill());
  try {
    child.send({ type: 'start', options });
    const frame = await child.next();
    if (frame.kind === 'message' && frame.message.type === 'ready') return child;
    throw new WatershedError(
      'unavailable',
      `the process for SQL statements does not start: ${
        frame.kind === 'message' && frame.message.type === 'failed'
          ? frame.message.error.message
          : 'it said something else'
      }`,
    );
  } catch (error) {
    child.kill();
    await child.ended;
    throw error;
  } finally {
    cancelTimer();
  }
}

function createChild(process: ChildProcess, pid: number, socket: Socket, tempDir: string): EngineChild {
  const inbox = createInbox(socket);
  let alive = true;
  let ending = '';
  const ended = new Promise<void>((resolve) => {
    const end = (exitCode: unknown, exitSignal?: unknown): void => {
      ending = typeof exitSignal === 'string' ? exitSignal : String(exitCode);
      if (alive)
        void rm(tempDir, { recursive: true, force: true })
          .catch(() => undefined)
          .then(resolve);
      alive = false;
      inbox.end();
    };
    process.once('exit', end);
    process.once('error', end);
  });
  const kill = (): void => {
    process.kill('SIGKILL');
  };
  socket.on('data', (piece: Buffer) => {
    if (!inbox.read(piece)) kill();
  });
  socket.on('error', kill);
  return {
    pid,
    ended,
    kill,
    shown: new Map(),
    get alive() {
      return alive;
    },
    get ending() {
      return ending;
    },
    send(message) {
      if (alive) sendMessage(socket, message);
    },
    next: () => inbox.next(),
    answered: () => inbox.answered(),
    residentBytes: async () => await residentBytes(pid),
    cpuMs: async () => await cpuMs(pid),
  };
}

/** What a child has sent and nobody has taken yet. The socket is held back while too much lies here. */
interface Inbox {
  /** False where the bytes are no frames. */
  read(piece: Buffer): boolean;
  /** The next frame; throws `unavailable` where the child has ended and nothing is left. */
  next(): Promise<Frame>;
  /** Resolves when the end of the answer lies here, or the child has ended. */
  answered(): Promise<void>;
  end(): void;
}

function createInbox(socket: Socket): Inbox {
  const frames: Frame[] = [];
  let heldBytes = 0;
  let isOpen = true;
  let wake: (() => void) | undefined;
  let tellAnswered: (() => void) | undefined;
  const isEnd = (frame: Frame): boolean =>
    frame.kind === 'message' && (frame.message.type === 'done' || frame.message.type === 'failed');
  const push = (frame: Frame, bytes: number): void => {
    frames.push(frame);
    heldBytes += bytes;
    if (heldBytes > heldBytesMax) socket.pause();
    wake?.();
    if (isEnd(frame)) tellAnswered?.();
  };
  return {
    read: frameReader((kind, body) => {
      if (kind === frameKinds.rows) return push({ kind: 'rows', bytes: body }, body.length);
      push({ kind: 'message', message: JSON.parse(body.toString()) as FromChild }, 0); // the child is this very version
    }),
    async next() {
      while (frames.length === 0) {
        if (!isOpen) throw new WatershedError('unavailable', 'the process that ran the statement has ended');
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
      const frame = frames.shift();
      if (frame === undefined) throw new WatershedError('internal', 'a frame vanished');
      if (frame.kind === 'rows') heldBytes -= frame.bytes.length;
      if (heldBytes <= heldBytesMax / 2 && socket.isPaused()) socket.resume();
      return frame;
    },
    async answered() {
      if (!isOpen || frames.some(isEnd)) return;
      await new Promise<void>((resolve) => {
        tellAnswered = resolve;
      });
    },
    end() {
      isOpen = false;
      wake?.();
      tellAnswered?.();
    },
  };
}

/** What /proc says of a process; undefined elsewhere than on Linux, or when it is gone. */
async function residentBytes(pid: number): Promise<number | undefined> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'latin1');
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

// Linux counts in hundredths of a second, whatever the machine (proc(5), sysconf(_SC_CLK_TCK)).
const tickMs = 10;

async function cpuMs(pid: number): Promise<number | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    // After the name, which is in brackets and may hold anything: state is field 3, utime 14, stime 15.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  } catch {
    return undefined;
  }
}
