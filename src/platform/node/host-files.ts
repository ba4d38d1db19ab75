// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { UserError } from '../../base/errors.ts';
import type { BlockStore } from '../../hardware/ports.ts';

const SECTOR = 512;

/** What an error of the file system means, by its code. */
// prettier-ignore
const MEANINGS: Readonly<Record<string, string>> = {
  ENOENT:  'there is no such file or folder',
  EISDIR:  'it is a folder',
  ENOTDIR: 'a part of that path is a file',
  EACCES:  'you may not do that there',
  EPERM:   'you may not do that there',
  EROFS:   'that file system is read-only',
  ENOSPC:  'the disk is full',
  EDQUOT:  'your disk quota is used up',
};

function failure(error: unknown, what: string, path: string, hint: string): UserError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new UserError(`cannot ${what} ${path}: ${MEANINGS[code] ?? message}`, hint);
}

function attempt<T>(what: string, path: string, hint: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw failure(error, what, path, hint);
  }
}

/** The bytes of a file that the user named. `option` is how he named it: "--kernel". */
export function readUserFile(path: string, option: string): Uint8Array {
  return attempt('read', path, `give the path of a file you can read with ${option}`, () => readFileSync(path));
}

/** Writes a file so that it is there as a whole or not at all. */
export function writeWholeFile(path: string, content: string, option: string): void {
  const temporary = join(dirname(resolve(path)), `.${basename(path)}.${process.pid}.part`);
  attempt('write', path, `make room, or name another place with ${option}`, () => {
    try {
      writeFileSync(temporary, content, { flush: true });
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });
}

/** A file that grows: a trace, or what a serial port says. What was there before is lost. */
export interface GrowingFile {
  write(content: string | Uint8Array): void;
  /** All is on the disk when it returns; nothing happens the second time. */
  close(): void;
}

/** Text is written in pieces of this many characters. */
const PIECE = 1 << 16;

export function createGrowingFile(path: string, option: string): GrowingFile {
  const hint = `make room, or name another place with ${option}`;
  let file: number | undefined = attempt('write', path, hint, () => openSync(path, 'w'));
  let pending = '';
  const put = (content: string | Uint8Array) =>
    attempt('write', path, hint, () => {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      for (let at = 0; at < bytes.length;) at += writeSync(file!, bytes, at);
    });
  const flush = () => {
    put(pending);
    pending = '';
  };
  return {
    write(content) {
      if (typeof content !== 'string') return put(content);
      pending += content;
      if (pending.length >= PIECE) flush();
    },
    close() {
      if (file === undefined) return;
      flush();
      closeSync(file);
      file = undefined;
    },
  };
}

/** A raw disk image: sectors of 512 bytes, written in place. */
export function openDiskFile(path: string, readOnly: boolean, option: string): BlockStore {
  const hint = `give a raw disk image you can ${readOnly ? 'read' : 'write'} with ${option}`;
  const file = attempt('open', path, hint, () => openSync(path, readOnly ? 'r' : 'r+'));
  const { size } = fstatSync(file);
  if (size === 0 || size % SECTOR !== 0) {
    closeSync(file);
    throw new UserError(`${path} is no raw disk image: its ${size} bytes are not whole sectors of ${SECTOR}`, hint);
  }
  refuseOtherFormats(file, path, option);
  return {
    sectors: size / SECTOR,
    readOnly,
    read: (sector, bytes) =>
      void attempt('read', path, hint, () => readSync(file, bytes, 0, bytes.length, sector * SECTOR)),
    write: (sector, bytes) =>
      void attempt('write', path, hint, () => writeSync(file, bytes, 0, bytes.length, sector * SECTOR)),
    flush: () => attempt('write', path, hint, () => fsyncSync(file)),
  };
}

function refuseOtherFormats(file: number, path: string, option: string): void {
  const start = Buffer.alloc(4);
  readSync(file, start, 0, 4, 0);
  if (start.toString('latin1') !== 'QFI\xfb') return;
  closeSync(file);
  throw new UserError(
    `${path} is a qcow2 image, and only raw ones can be used`,
    `convert it: qemu-img convert -O raw ${path} disk.raw, then ${option}`,
  );
}
