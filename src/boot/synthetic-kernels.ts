// SPDX-License-Identifier: Apache-2.0
// Small kernels made by hand, for tests: every header as the specifications say, a few bytes of code.

import { textBytes } from '../formats/ascii.ts';
import { SETUP_HEADER_FIELDS, SETUP_HEADER_MAGIC, type SetupHeaderField } from '../formats/bzimage.ts';
import { alignUp, concatenate, putNumber, structure } from './structure.ts';

/** A bzImage of protocol 2.15 with `codeBytes` of protected-mode code; `changes` replaces header fields. */
export function syntheticBzImage(
  changes: { readonly [Field in SetupHeaderField]?: number } = {},
  codeBytes = 0x2000,
): Uint8Array {
  const setupSectors = 3;
  const bytes = new Uint8Array((setupSectors + 1) * 512 + codeBytes).fill(0xcc, (setupSectors + 1) * 512);
  // prettier-ignore
  const header: { readonly [Field in SetupHeaderField]?: number } = {
    setup_sects: setupSectors, syssize: Math.ceil(codeBytes / 16), boot_flag: 0xaa55, jump: 0x6aeb, header: SETUP_HEADER_MAGIC,
    version: 0x020f, kernel_version: 0x300, loadflags: 1, code32_start: 0x100000, initrd_addr_max: 0x7fffffff,
    kernel_alignment: 0x200000, relocatable_kernel: 1, xloadflags: 3, cmdline_size: 2047, pref_address: 0x1000000,
    init_size: 0x100000, ...changes,
  };
  for (const [field, at, width] of SETUP_HEADER_FIELDS) putNumber(bytes, at, width, header[field] ?? 0, field);
  bytes.set(textBytes('6.1.0-synthetic\0'), 0x500);
  return bytes;
}

export interface SyntheticSegment {
  readonly type?: number;
  readonly virtualAddress?: number;
  readonly physicalAddress: number;
  readonly bytes: Uint8Array;
  readonly memorySize?: number;
}

/** An ELF file whose segments' bytes follow its headers, each at a multiple of 16. */
export function syntheticElf(bits: 32 | 64, entry: number, segments: readonly SyntheticSegment[]): Uint8Array {
  const [headerSize, rowSize, word] = bits === 64 ? [64, 56, 8] : [52, 32, 4];
  let next = alignUp(headerSize + segments.length * rowSize, 16);
  const placed = segments.map((segment) => {
    const offset = next;
    next = alignUp(offset + segment.bytes.length, 16);
    return { ...segment, offset };
  });
  const file = new Uint8Array(next);
  file.set(
    structure([
      ['ident', 16, [0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
      ['type', 2, 2],
      ['machine', 2, bits === 64 ? 62 : 3],
      ['version', 4, 1],
      ['entry', word, entry],
      ['phoff', word, headerSize],
      ['shoff', word, 0],
      ['flags', 4, 0],
      ['ehsize', 2, headerSize],
      ['phentsize', 2, rowSize],
      ['phnum', 2, segments.length],
      ['shentsize', 2, 0],
      ['shnum', 2, 0],
      ['shstrndx', 2, 0],
    ]),
  );
  placed.forEach((segment, index) => {
    file.set(programHeader(bits, segment), headerSize + index * rowSize);
    file.set(segment.bytes, segment.offset);
  });
  return file;
}

function programHeader(bits: 32 | 64, segment: SyntheticSegment & { readonly offset: number }): Uint8Array {
  const {
    type = 1,
    physicalAddress,
    virtualAddress = physicalAddress,
    bytes,
    memorySize = bytes.length,
    offset,
  } = segment;
  const sizes = (width: number) =>
    [
      ['filesz', width, bytes.length],
      ['memsz', width, memorySize],
    ] as const;
  const places = (width: number) =>
    [
      ['offset', width, offset],
      ['vaddr', width, virtualAddress],
      ['paddr', width, physicalAddress],
    ] as const;
  if (bits === 64) return structure([['type', 4, type], ['flags', 4, 7], ...places(8), ...sizes(8), ['align', 8, 4]]);
  return structure([['type', 4, type], ...places(4), ...sizes(4), ['flags', 4, 7], ['align', 4, 4]]);
}

/** The note by which an ELF kernel states its PVH entry. */
export function pvhNote(entry: number, type = 18): Uint8Array {
  return structure([
    ['namesz', 4, 4],
    ['descsz', 4, 4],
    ['type', 4, type],
    ['name', 4, textBytes('Xen\0')],
    ['desc', 4, entry],
  ]);
}

/** Magic, flags, checksum, and any words that follow. */
export function multiboot1Header(flags: number, ...more: number[]): Uint8Array {
  const words = [0x1badb002, flags, (0x100000000 - ((0x1badb002 + flags) % 0x100000000)) % 0x100000000, ...more];
  return structure(words.map((word) => ['word', 4, word]));
}

export interface SyntheticTag {
  readonly type: number;
  readonly optional?: boolean;
  readonly words?: readonly number[];
}

/** A multiboot 2 header with these tags and the end tag. */
export function multiboot2Header(tags: readonly SyntheticTag[], architecture = 0): Uint8Array {
  const encoded = [...tags, { type: 0 }].map(({ type, optional = false, words = [] }: SyntheticTag) => {
    const size = 8 + words.length * 4;
    const padding = alignUp(size, 8) - size;
    return structure([
      ['type', 2, type],
      ['flags', 2, optional ? 1 : 0],
      ['size', 4, size],
      ...words.map((word) => ['word', 4, word] as const),
      ['padding', padding, new Uint8Array(padding)],
    ]);
  });
  const body = concatenate(encoded);
  const length = 16 + body.length;
  const checksum = (2 ** 33 - 0xe85250d6 - architecture - length) % 2 ** 32;
  return concatenate([
    structure([
      ['magic', 4, 0xe85250d6],
      ['architecture', 4, architecture],
      ['length', 4, length],
      ['checksum', 4, checksum],
    ]),
    body,
  ]);
}
