// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';

/** What a 64-bit little-endian ELF file asks of others before it can run. See: System V ABI, Dynamic Linking. */
export interface ElfNeeds {
  /** PT_INTERP: absolute path of the program interpreter (ld.so), or undefined for static programs and libraries. */
  readonly interpreter: string | undefined;
  /** DT_NEEDED: names of shared libraries, in order. */
  readonly libraries: readonly string[];
  /** DT_RUNPATH (or DT_RPATH), split at colons: folders searched first; may hold $ORIGIN. */
  readonly searchPath: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;

// prettier-ignore
const DT = { null: 0, needed: 1, strtab: 5, rpath: 15, runpath: 29 } as const;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** True for a file that starts as a 64-bit little-endian ELF file does. */
export function isElf64(file: Uint8Array): boolean {
  return file.length >= 64 && [0x7f, 0x45, 0x4c, 0x46, 2, 1].every((byte, index) => file[index] === byte);
}

/** Throws a UserError when the file is not a 64-bit little-endian ELF file, or is truncated. */
export function elfNeeds(file: Uint8Array): ElfNeeds {
  const view = viewOf(file);
  const segments = segmentsOf(view);
  const interpreter = segments.find((segment) => segment.type === PT_INTERP);
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  const tags = dynamic === undefined ? [] : dynamicTags(view, dynamic);
  const strings = tags.find(([tag]) => tag === DT.strtab)?.[1] ?? 0;
  const texts = (wanted: number) =>
    tags.filter(([tag]) => tag === wanted).map(([, value]) => textAt(file, fileOffset(segments, strings) + value));
  const runpath = texts(DT.runpath);
  return {
    interpreter: interpreter && textAt(file, interpreter.offset),
    libraries: texts(DT.needed),
    searchPath: (runpath.length > 0 ? runpath : texts(DT.rpath)).flatMap((path) => path.split(':')),
  };
}

/**
 * The entries of section `.modinfo` of a kernel module: key → values in order (`name`, `depends`, `parm` ...).
 * Throws a UserError when there is none.
 */
export function moduleInfo(file: Uint8Array): ReadonlyMap<string, readonly string[]> {
  const info = new Map<string, string[]>();
  for (const line of latin1(section(file, '.modinfo')).split('\0')) {
    const equals = line.indexOf('=');
    if (equals < 1) continue;
    const key = line.slice(0, equals);
    info.set(key, [...(info.get(key) ?? []), line.slice(equals + 1)]);
  }
  return info;
}

function viewOf(file: Uint8Array): DataView {
  if (!isElf64(file)) throw malformed('not a 64-bit little-endian one');
  return new DataView(file.buffer, file.byteOffset, file.byteLength);
}

function half(view: DataView, offset: number): number {
  inside(view, offset, 2);
  return view.getUint16(offset, true);
}

function word(view: DataView, offset: number): number {
  inside(view, offset, 4);
  return view.getUint32(offset, true);
}

/** Offsets and addresses are below 2^53 in any real file. */
function quad(view: DataView, offset: number): number {
  inside(view, offset, 8);
  return Number(view.getBigUint64(offset, true));
}

function inside(view: DataView, offset: number, size: number): void {
  if (offset + size > view.byteLength) throw malformed('truncated');
}

function segmentsOf(view: DataView): Segment[] {
  const table = quad(view, 0x20);
  const entrySize = half(view, 0x36);
  return Array.from({ length: half(view, 0x38) }, (_, index) => {
    const at = table + index * entrySize;
    return {
      type: word(view, at),
      offset: quad(view, at + 8),
      address: quad(view, at + 16),
      size: quad(view, at + 32),
    };
  });
}

function dynamicTags(view: DataView, dynamic: Segment): [number, number][] {
  const tags: [number, number][] = [];
  for (let at = dynamic.offset; at + 16 <= dynamic.offset + dynamic.size; at += 16) {
    const tag = quad(view, at);
    if (tag === DT.null) break;
    tags.push([tag, quad(view, at + 8)]);
  }
  return tags;
}

function fileOffset(segments: readonly Segment[], address: number): number {
  const segment = segments.find((s) => s.type === PT_LOAD && address >= s.address && address < s.address + s.size);
  if (segment === undefined) throw malformed(`no segment holds address ${address}`);
  return address - segment.address + segment.offset;
}

function section(file: Uint8Array, name: string): Uint8Array {
  const view = viewOf(file);
  const table = quad(view, 0x28);
  const entrySize = half(view, 0x3a);
  const names = quad(view, table + half(view, 0x3e) * entrySize + 0x18);
  for (let index = 0; index < half(view, 0x3c); index++) {
    const at = table + index * entrySize;
    if (textAt(file, names + word(view, at)) !== name) continue;
    const offset = quad(view, at + 0x18);
    return file.subarray(offset, offset + quad(view, at + 0x20));
  }
  throw malformed(`no section ${name}`);
}

function textAt(file: Uint8Array, offset: number): string {
  const end = file.indexOf(0, offset);
  if (offset > file.length || end < 0) throw malformed('truncated string');
  return latin1(file.subarray(offset, end));
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function malformed(what: string): UserError {
  return new UserError(`Malformed ELF file: ${what}.`, 'is the file complete, and of this format?');
}
