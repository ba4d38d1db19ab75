// SPDX-License-Identifier: Apache-2.0
// The symbol table of an ELF file. See: System V ABI, chapter 4 Object Files, Symbol Table

import { readText } from './ascii.ts';
import { parseElf } from './elf.ts';

export interface ElfSymbol {
  readonly name: string;
  /** Unsigned; in a relocatable file an offset in the section. */
  readonly value: bigint;
  readonly size: number;
  /** Low half of st_info: 1 data, 2 function. */
  readonly type: number;
  /** Index of the section it lies in; 0: undefined here. */
  readonly section: number;
}

export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Byte offset in the file. */
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
}

const SHT_SYMTAB = 2;
const LONGEST_NAME = 512;

/** All sections, in the order of the file; those that the file does not hold wholly are left out of their bytes. */
export function elfSections(bytes: Uint8Array, fileName: string): ElfSection[] {
  const { is64, sectionHeaders } = parseElf(bytes, fileName);
  const { offset, count, entrySize, stringIndex } = sectionHeaders;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (offset + count * entrySize > bytes.length || entrySize < (is64 ? 64 : 40)) return [];
  const word = (at: number): number => (is64 ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true));
  const raw = Array.from({ length: count }, (_, index) => {
    const at = offset + index * entrySize;
    const [w, u32] = [is64 ? 8 : 4, (from: number) => view.getUint32(at + from, true)];
    return {
      ...{
        nameAt: u32(0),
        type: u32(4),
        flags: word(at + 8),
        offset: word(at + 8 + 2 * w),
        size: word(at + 8 + 3 * w),
      },
      ...{ link: u32(8 + 4 * w), info: u32(12 + 4 * w) },
    };
  });
  const names = raw[stringIndex];
  return raw.map(({ nameAt, ...section }) => ({
    ...section,
    name: names === undefined ? '' : textAt(bytes, names.offset + nameAt, names.offset + names.size),
  }));
}

function textAt(bytes: Uint8Array, at: number, end: number): string {
  if (at >= end || end > bytes.length) return '';
  return readText(bytes, at, Math.min(LONGEST_NAME, end - at));
}

/** Of .symtab; empty where the file has none, as stripped ones. Throws UserError for what is no ELF file. */
export function elfSymbols(bytes: Uint8Array, fileName: string): ElfSymbol[] {
  const sections = elfSections(bytes, fileName);
  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  const strings = table && sections[table.link];
  if (table === undefined || strings === undefined || table.offset + table.size > bytes.length) return [];
  const wide = bytes[4] === 2;
  const [step, view] = [wide ? 24 : 16, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)];
  return Array.from({ length: Math.floor(table.size / step) }, (_, index) => {
    const at = table.offset + index * step;
    const name = textAt(bytes, strings.offset + view.getUint32(at, true), strings.offset + strings.size);
    const info = view.getUint8(at + (wide ? 4 : 12));
    return {
      ...{ name, type: info & 0xf, section: view.getUint16(at + (wide ? 6 : 14), true) },
      value: wide ? view.getBigUint64(at + 8, true) : BigInt(view.getUint32(at + 4, true)),
      size: wide ? Number(view.getBigUint64(at + 16, true)) : view.getUint32(at + 8, true),
    };
  });
}
