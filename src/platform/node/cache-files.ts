// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../base/errors.ts';

/** Everything is written here first, and then renamed to where it belongs. */
const TEMPORARY = 'temporary';
const LOCK = 'lock';
const LOCK_POLL_MILLISECONDS = 200;

/** What the user can do about an error of the file system, by its code. */
// prettier-ignore
const EXPLANATIONS: Readonly<Record<string, string>> = {
  ENOSPC:  'the disk is full',
  EDQUOT:  'your disk quota is used up',
  EACCES:  'you may not write there',
  EPERM:   'you may not write there',
  EROFS:   'that file system is read-only',
  ENOTDIR: 'a part of that path is a file',
  EEXIST:  'a part of that path is a file',
};

/** $XDG_CACHE_HOME/turtles, or ~/.cache/turtles. See: XDG Base Directory Specification. */
export function defaultCacheFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const base = environment.XDG_CACHE_HOME;
  if (base !== undefined && base.startsWith('/')) return join(base, 'turtles');
  const home = environment.HOME;
  if (home === undefined || home === '')
    throw new UserError(
      'There is no place for the cache: neither XDG_CACHE_HOME nor HOME is set.',
      'set XDG_CACHE_HOME to a folder of yours',
    );
  return join(home, '.cache', 'turtles');
}

/** A folder in which a file, or a folder of files, is there as a whole or not at all. Names are relative, with slashes. */
export class CacheFolder {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  path(name: string): string {
    return join(this.#root, name);
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.path(name));
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw this.#explained(error, name);
    }
  }

  async list(folder: string): Promise<string[]> {
    try {
      return (await readdir(this.path(folder))).sort();
    } catch (error) {
      if (isAbsence(error)) return [];
      throw this.#explained(error, folder);
    }
  }

  async makeFolder(name: string): Promise<void> {
    await this.#attempt(name, () => mkdir(this.path(name), { recursive: true }));
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt(name, () =>
      this.#throughTemporary(name, async (temporary) => {
        await writeDurably(temporary, bytes);
      }),
    );
  }

  async writeFolder(name: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await this.#attempt(name, async () => {
      await rm(this.path(name), { recursive: true, force: true });
      await this.#throughTemporary(name, async (temporary) => {
        await mkdir(temporary);
        for (const [file, bytes] of files) await writeDurably(join(temporary, file), bytes);
        await syncFolder(temporary);
      });
    });
  }

  async remove(name: string): Promise<void> {
    await this.#attempt(name, () => rm(this.path(name), { recursive: true, force: true }));
  }

  /** One process at a time; a lock whose process is gone counts for nothing. What an interrupted one left is removed. */
  async exclusively<T>(waiting: () => void, work: () => Promise<T>): Promise<T> {
    await this.makeFolder(TEMPORARY);
    const mine = JSON.stringify({ host: hostname(), pid: process.pid, started: startOf(process.pid) });
    let told = false;
    while (!(await this.#attempt(LOCK, () => this.#takeLock(mine)))) {
      if (!told) waiting();
      told = true;
      await sleep(LOCK_POLL_MILLISECONDS);
    }
    try {
      for (const left of await this.list(TEMPORARY)) await this.remove(`${TEMPORARY}/${left}`);
      return await work();
    } finally {
      await rm(this.path(LOCK), { force: true });
    }
  }

  async #takeLock(mine: string): Promise<boolean> {
    const own = this.path(`${LOCK}.${randomName()}`);
    await writeDurably(own, Buffer.from(mine));
    try {
      await link(own, this.path(LOCK));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      await this.#removeStaleLock();
      return false;
    } finally {
      await rm(own, { force: true });
    }
  }

  /** Moved away first, and put back if another process has renewed it in the meantime. */
  async #removeStaleLock(): Promise<void> {
    const holder = await this.read(LOCK);
    if (holder === undefined || isHeld(holder)) return;
    const moved = this.path(`${LOCK}.${randomName()}`);
    try {
      await rename(this.path(LOCK), moved);
      if (isHeld(await readFile(moved))) await link(moved, this.path(LOCK));
    } catch (error) {
      if (!isAbsence(error)) throw error;
    } finally {
      await rm(moved, { force: true });
    }
  }

  async #throughTemporary(name: string, fill: (temporary: string) => Promise<void>): Promise<void> {
    const temporary = this.path(`${TEMPORARY}/${randomName()}`);
    const final = this.path(name);
    await mkdir(dirname(temporary), { recursive: true });
    await mkdir(dirname(final), { recursive: true });
    try {
      await fill(temporary);
      await rename(temporary, final);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await syncFolder(dirname(final));
  }

  async #attempt<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#explained(error, name);
    }
  }

  #explained(error: unknown, name: string): unknown {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof UserError) return error;
    const explanation = EXPLANATIONS[code] ?? message;
    return new UserError(
      `Cannot use ${this.path(name)}: ${explanation}.`,
      'make room or give rights there, or choose another folder with XDG_CACHE_HOME',
    );
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A lock of another computer cannot be checked, so it holds. */
function isHeld(lock: Uint8Array): boolean {
  const { host, pid, started } = JSON.parse(Buffer.from(lock).toString()) as {
    host: string;
    pid: number;
    started: string;
  };
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return startOf(pid) === started;
}

/** When a process started, in clock ticks since boot, so that a number used again is not taken for it; '' if unknown. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isAbsence(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function randomName(): string {
  return randomBytes(8).toString('hex');
}
