// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';

/** One entry of a tar archive; `bytes` is a view into the archive and empty except for files. */
export interface TarEntry {
  /** Path as stored, without a leading `./` or `/` and without a trailing slash; '' is the root. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';
  /** Permission bits. */
  readonly mode: number;
  /** Target of a symlink as stored; of a hard link the path of the other entry. */
  readonly target: string;
  readonly bytes: Uint8Array;
}

const BLOCK = 512;

/** Fields of a POSIX.1-1988 ustar header, with the prefix field that lengthens the name. */
// prettier-ignore
const HEADER = {
  name:     { start: 0,   end: 100 },
  mode:     { start: 100, end: 108 },
  size:     { start: 124, end: 136 },
  checksum: { start: 148, end: 156 },
  type:     { start: 156, end: 157 },
  target:   { start: 157, end: 257 },
  magic:    { start: 257, end: 263 },
  prefix:   { start: 345, end: 500 },
} as const;

type Field = (typeof HEADER)[keyof typeof HEADER];

// prettier-ignore
const KINDS: Readonly<Record<string, TarEntry['kind']>> = {
  '':  'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
  '7': 'file',
};

/** What a GNU (`L`, `K`) or pax (`x`) header says about the entry that follows it. */
interface Overrides {
  path?: string;
  target?: string;
  size?: number;
}

/** The entries of a ustar, GNU or pax archive in their order. Throws a UserError that says what is wrong and where. */
export function readTar(archive: Uint8Array): TarEntry[] {
  const entries: TarEntry[] = [];
  let overrides: Overrides = {};
  let offset = 0;
  while (offset + BLOCK <= archive.length && archive[offset] !== 0) {
    const header = archive.subarray(offset, offset + BLOCK);
    verifyChecksum(header, offset);
    const type = text(header, HEADER.type);
    const size = overrides.size ?? number(header, HEADER.size, offset);
    const start = offset + BLOCK;
    if (start + size > archive.length) throw malformed(`truncated in the entry at byte ${offset}`);
    const bytes = archive.subarray(start, start + size);
    offset = start + Math.ceil(size / BLOCK) * BLOCK;
    if (type === 'g') continue;
    if (isExtension(type)) {
      overrides = { ...overrides, ...extension(type, bytes) };
      continue;
    }
    entries.push(entry(header, type, bytes, overrides));
    overrides = {};
  }
  if (offset + BLOCK > archive.length && offset !== archive.length) throw malformed('truncated');
  return entries;
}

function entry(header: Uint8Array, type: string, bytes: Uint8Array, overrides: Overrides): TarEntry {
  const kind = KINDS[type] ?? 'other';
  const target = overrides.target ?? text(header, HEADER.target);
  return {
    path: normal(overrides.path ?? nameOf(header)),
    kind,
    mode: number(header, HEADER.mode, 0) & 0o7777,
    target: kind === 'hardlink' ? normal(target) : target,
    bytes: kind === 'file' ? bytes : bytes.subarray(0, 0),
  };
}

/** The prefix field exists in POSIX headers; GNU's (magic "ustar ", with a blank) keep other things there. */
function nameOf(header: Uint8Array): string {
  const prefix = text(header, HEADER.magic) === 'ustar' ? text(header, HEADER.prefix) : '';
  const name = text(header, HEADER.name);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function isExtension(type: string): type is 'L' | 'K' | 'x' {
  return type === 'L' || type === 'K' || type === 'x';
}

function extension(type: 'L' | 'K' | 'x', bytes: Uint8Array): Overrides {
  if (type === 'L') return { path: text(bytes, { start: 0, end: bytes.length }) };
  if (type === 'K') return { target: text(bytes, { start: 0, end: bytes.length }) };
  return paxRecords(bytes);
}

/** Records are `LENGTH KEY=VALUE\n`, the length counting the whole record in bytes. */
function paxRecords(bytes: Uint8Array): Overrides {
  const overrides: Overrides = {};
  let offset = 0;
  while (offset < bytes.length) {
    const blank = bytes.indexOf(0x20, offset);
    const length = Number(text(bytes, { start: offset, end: blank }));
    if (!(length > 0)) throw malformed('bad pax record');
    const [key, ...value] = text(bytes, { start: blank + 1, end: offset + length - 1 }).split('=');
    if (key === 'path') overrides.path = value.join('=');
    if (key === 'linkpath') overrides.target = value.join('=');
    if (key === 'size') overrides.size = Number(value[0]);
    offset += length;
  }
  return overrides;
}

function verifyChecksum(header: Uint8Array, offset: number): void {
  let sum = 0;
  for (let index = 0; index < BLOCK; index++) {
    sum += index >= HEADER.checksum.start && index < HEADER.checksum.end ? 0x20 : header[index]!;
  }
  if (sum !== number(header, HEADER.checksum, offset)) throw malformed(`bad header checksum at byte ${offset}`);
}

/** Octal text, or base 256 when the first bit is set (GNU, for what does not fit). */
function number(header: Uint8Array, field: Field, offset: number): number {
  if (header[field.start]! & 0x80) {
    return header.subarray(field.start + 1, field.end).reduce((value, byte) => value * 256 + byte, 0);
  }
  const value = Number.parseInt(text(header, field).trim() || '0', 8);
  if (Number.isNaN(value)) throw malformed(`bad number in the header at byte ${offset}`);
  return value;
}

function text(bytes: Uint8Array, field: { start: number; end: number }): string {
  const raw = bytes.subarray(field.start, field.end);
  const end = raw.indexOf(0);
  return decodeUtf8(end < 0 ? raw : raw.subarray(0, end));
}

/** ES2024 alone has no TextDecoder; the escape route through URI components is exact and fails on invalid UTF-8. */
function decodeUtf8(bytes: Uint8Array): string {
  let latin1 = '';
  let ascii = true;
  for (const byte of bytes) {
    latin1 += String.fromCharCode(byte);
    ascii &&= byte < 0x80;
  }
  return ascii
    ? latin1
    : decodeURIComponent(latin1.replace(/[%\u0080-\u00ff]/g, (c) => `%${c.charCodeAt(0).toString(16)}`));
}

function normal(path: string): string {
  return path
    .replace(/^(\.?\/+)+/, '')
    .replace(/\/+$/, '')
    .replace(/^\.$/, '');
}

function malformed(what: string): UserError {
  return new UserError(`Malformed tar archive: ${what}.`, 'is the file complete, and of this format?');
}
