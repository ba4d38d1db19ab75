// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { UserError } from '../base/errors.ts';

/**
 * One entry of an initramfs. Paths have no leading slash. Everything that could differ between two builds (time,
 * owner, inode) is not the caller's to give: see `writeCpio`.
 */
export type CpioEntry =
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const MAGIC = '070701';
const HEADER_SIZE = 110;
const TRAILER = 'TRAILER!!!';

/** Fields after the magic, in order, eight hexadecimal digits each: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. */
// prettier-ignore
const FIELDS = [
  'inode', 'mode', 'uid', 'gid', 'links', 'mtime', 'size',
  'deviceMajor', 'deviceMinor', 'specialMajor', 'specialMinor', 'nameSize', 'check',
] as const;
type Header = Partial<Record<(typeof FIELDS)[number], number>>;

// prettier-ignore
const FILE_TYPE = { file: 0o100000, directory: 0o040000, symlink: 0o120000, device: 0o020000 } as const;

/**
 * A "newc" archive, uncompressed: what the kernel unpacks as an initramfs. The same entries give the same bytes in
 * whatever order they come: sorted by path, times and owners zero, inodes counted from 1. Devices are character ones.
 */
export function writeCpio(entries: Iterable<CpioEntry>): Uint8Array {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const parts: Uint8Array[] = [];
  sorted.forEach((entry, index) => {
    assert(entry.path !== sorted[index - 1]?.path, `two entries for ${entry.path} in a cpio archive`);
    append(parts, entry.path, headerOf(entry, index + 1), contentOf(entry));
  });
  append(parts, TRAILER, { links: 1 }, new Uint8Array(0));
  return concatenate(parts);
}

/** Reads what `writeCpio` writes, and other newc archives without a compressed or second part. */
export function readCpio(archive: Uint8Array): CpioEntry[] {
  const entries: CpioEntry[] = [];
  let offset = 0;
  for (;;) {
    if (latin1(archive.subarray(offset, offset + 6)) !== MAGIC) throw malformed(`no header at byte ${offset}`);
    const header = readHeader(archive, offset);
    const nameStart = offset + HEADER_SIZE;
    const path = latin1(archive.subarray(nameStart, nameStart + header.nameSize - 1));
    if (path === TRAILER) return entries;
    const start = aligned(nameStart + header.nameSize);
    if (start + header.size > archive.length) throw malformed(`truncated in ${path}`);
    entries.push(entryOf(path, header, archive.subarray(start, start + header.size)));
    offset = aligned(start + header.size);
  }
}

function headerOf(entry: CpioEntry, inode: number): Header {
  const mode = FILE_TYPE[entry.kind] | (entry.kind === 'symlink' ? 0o777 : entry.mode);
  const device = entry.kind === 'device' ? { specialMajor: entry.major, specialMinor: entry.minor } : {};
  return { inode, mode, links: entry.kind === 'directory' ? 2 : 1, ...device };
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.bytes;
  return entry.kind === 'symlink' ? bytesOf(entry.target) : new Uint8Array(0);
}

function append(parts: Uint8Array[], path: string, header: Header, content: Uint8Array): void {
  const name = bytesOf(`${path}\0`);
  const values: Header = { ...header, size: content.length, nameSize: name.length };
  const digits = FIELDS.map((field) => (values[field] ?? 0).toString(16).padStart(8, '0')).join('');
  const padding = (size: number) => new Uint8Array(aligned(size) - size);
  parts.push(bytesOf(MAGIC + digits), name, padding(HEADER_SIZE + name.length), content, padding(content.length));
}

function readHeader(archive: Uint8Array, offset: number): Required<Header> {
  const header: Header = {};
  FIELDS.forEach((field, index) => {
    const start = offset + MAGIC.length + index * 8;
    const value = Number.parseInt(latin1(archive.subarray(start, start + 8)), 16);
    if (Number.isNaN(value)) throw malformed(`bad header at byte ${offset}`);
    header[field] = value;
  });
  return header as Required<Header>;
}

function entryOf(path: string, header: Required<Header>, bytes: Uint8Array): CpioEntry {
  const mode = header.mode & 0o7777;
  const type = header.mode & 0o170000;
  if (type === FILE_TYPE.file) return { kind: 'file', path, mode, bytes };
  if (type === FILE_TYPE.directory) return { kind: 'directory', path, mode };
  if (type === FILE_TYPE.symlink) return { kind: 'symlink', path, target: latin1(bytes) };
  if (type === FILE_TYPE.device)
    return { kind: 'device', path, mode, major: header.specialMajor, minor: header.specialMinor };
  throw malformed(`${path} is of a kind we do not read`);
}

/** Names and contents are aligned to 4 bytes, counted from the start of the archive (headers are, so both agree). */
function aligned(size: number): number {
  return (size + 3) & ~3;
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => {
    assert(character.charCodeAt(0) < 0x7f, `not an ASCII path in a cpio archive: ${text}`);
    return character.charCodeAt(0);
  });
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function malformed(what: string): UserError {
  return new UserError(`Malformed cpio archive: ${what}.`, 'is the file complete, and of this format?');
}
