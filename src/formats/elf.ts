// SPDX-License-Identifier: Apache-2.0
// See: System V ABI, chapters 4 Object Files and 5 Program Loading; little-endian x86 only.

import { UserError } from '../base/errors.ts';
import { readText } from './ascii.ts';

export const MACHINE_386 = 3;
export const MACHINE_X86_64 = 62;
export const PT_LOAD = 1;
export const PT_NOTE = 4;

export interface ElfProgramHeader {
  readonly type: number;
  readonly flags: number;
  /** Byte offset in the file. */
  readonly offset: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

export interface ElfSectionHeaders {
  readonly offset: number;
  readonly count: number;
  readonly entrySize: number;
  readonly stringIndex: number;
}

export interface ElfImage {
  readonly is64: boolean;
  /** e_machine. */
  readonly machine: number;
  /** e_type: 2 executable, 3 shared (position independent). */
  readonly type: number;
  /** e_entry, a virtual address; inexact above 2^53 (kernels that enter there use a note instead). */
  readonly entry: number;
  readonly programHeaders: readonly ElfProgramHeader[];
  readonly sectionHeaders: ElfSectionHeaders;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly description: Uint8Array;
}

export const isElf = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Where the fields of the two classes lie; `word` fields are 4 bytes in ELF32 and 8 in ELF64. */
// prettier-ignore
const FILE_HEADER = {
  32: { size: 52, entry: 24, phoff: 28, shoff: 32, phentsize: 42, phnum: 44, shentsize: 46, shnum: 48, shstrndx: 50 },
  64: { size: 64, entry: 24, phoff: 32, shoff: 40, phentsize: 54, phnum: 56, shentsize: 58, shnum: 60, shstrndx: 62 },
} as const;
// prettier-ignore
const PROGRAM_HEADER = {
  32: { size: 32, type: 0, offset: 4, vaddr:  8, paddr: 12, filesz: 16, memsz: 20, flags: 24, align: 28 },
  64: { size: 56, type: 0, flags:  4, offset: 8, vaddr: 16, paddr: 24, filesz: 32, memsz: 40, align: 48 },
} as const;

/**
 * Reads the file header and the program headers and checks that every segment's bytes are in the file.
 * `name` is the file's name, for messages. Throws UserError.
 */
export function parseElf(bytes: Uint8Array, name: string): ElfImage {
  if (!isElf(bytes)) throw new UserError(`${name} is not an ELF file`, 'its first bytes must be 7f 45 4c 46');
  const bits = elfClass(bytes, name);
  const at = FILE_HEADER[bits];
  requireBytes(bytes, at.size, name, 'the ELF header');
  const view = viewOf(bytes);
  const word = wordReader(view, bits);
  const image: ElfImage = {
    is64: bits === 64,
    machine: view.getUint16(18, true),
    type: view.getUint16(16, true),
    entry: word(at.entry),
    programHeaders: programHeaders(
      bytes,
      bits,
      word(at.phoff),
      view.getUint16(at.phentsize, true),
      view.getUint16(at.phnum, true),
      name,
    ),
    sectionHeaders: {
      offset: word(at.shoff),
      count: view.getUint16(at.shnum, true),
      entrySize: view.getUint16(at.shentsize, true),
      stringIndex: view.getUint16(at.shstrndx, true),
    },
  };
  return image;
}

function elfClass(bytes: Uint8Array, name: string): 32 | 64 {
  requireBytes(bytes, 16, name, 'the ELF identification');
  if (bytes[5] !== 1) throw new UserError(`${name} is a big-endian ELF file`, 'give a kernel built for x86');
  if (bytes[4] !== 1 && bytes[4] !== 2) {
    throw new UserError(`${name} has ELF class ${bytes[4]}, neither 32-bit (1) nor 64-bit (2)`, 'the file is damaged');
  }
  return bytes[4] === 1 ? 32 : 64;
}

function wordReader(view: DataView, bits: 32 | 64): (at: number) => number {
  return bits === 32 ? (at) => view.getUint32(at, true) : (at) => Number(view.getBigUint64(at, true));
}

function programHeaders(
  bytes: Uint8Array,
  bits: 32 | 64,
  start: number,
  entrySize: number,
  count: number,
  name: string,
): ElfProgramHeader[] {
  const at = PROGRAM_HEADER[bits];
  if (count > 0 && entrySize < at.size) {
    throw new UserError(`${name} has ELF program headers of ${entrySize} bytes, not ${at.size}`, 'the file is damaged');
  }
  requireBytes(bytes, start + count * entrySize, name, 'the ELF program headers');
  const view = viewOf(bytes);
  const word = wordReader(view, bits);
  return Array.from({ length: count }, (_, index) => {
    const base = start + index * entrySize;
    const header: ElfProgramHeader = {
      type: view.getUint32(base + at.type, true),
      flags: view.getUint32(base + at.flags, true),
      offset: word(base + at.offset),
      virtualAddress: word(base + at.vaddr),
      physicalAddress: word(base + at.paddr),
      fileSize: word(base + at.filesz),
      memorySize: word(base + at.memsz),
      align: word(base + at.align),
    };
    checkSegment(bytes, header, index, name);
    return header;
  });
}

function checkSegment(bytes: Uint8Array, header: ElfProgramHeader, index: number, name: string): void {
  if (header.type !== PT_LOAD && header.type !== PT_NOTE) return;
  requireBytes(bytes, header.offset + header.fileSize, name, `ELF segment ${index}`);
  if (header.type === PT_LOAD && header.memorySize < header.fileSize) {
    throw new UserError(`${name}: ELF segment ${index} is smaller in memory than in the file`, 'the file is damaged');
  }
}

function requireBytes(bytes: Uint8Array, end: number, name: string, what: string): void {
  if (end <= bytes.length) return;
  throw new UserError(
    `${name} is truncated: ${what} would end at byte ${end}, the file has ${bytes.length}`,
    'copy or download the file again',
  );
}

/** The bytes of one segment, a view into the file. */
export function segmentBytes(bytes: Uint8Array, header: ElfProgramHeader): Uint8Array {
  return bytes.subarray(header.offset, header.offset + header.fileSize);
}

/** All notes of all PT_NOTE segments, in file order. A note that runs over its segment ends the walk of that segment. */
export function elfNotes(bytes: Uint8Array, image: ElfImage): ElfNote[] {
  return image.programHeaders
    .filter((header) => header.type === PT_NOTE)
    .flatMap((header) => segmentNotes(segmentBytes(bytes, header), header.align === 8 ? 8 : 4));
}

function segmentNotes(segment: Uint8Array, align: number): ElfNote[] {
  const view = viewOf(segment);
  const notes: ElfNote[] = [];
  const padded = (size: number): number => Math.ceil(size / align) * align;
  for (let at = 0; at + 12 <= segment.length;) {
    const nameSize = view.getUint32(at, true);
    const descriptionAt = padded(at + 12 + nameSize);
    const descriptionEnd = descriptionAt + view.getUint32(at + 4, true);
    if (descriptionEnd > segment.length) break;
    notes.push({
      name: readText(segment, at + 12, nameSize),
      type: view.getUint32(at + 8, true),
      description: segment.subarray(descriptionAt, descriptionEnd),
    });
    at = padded(descriptionEnd);
  }
  return notes;
}
