// SPDX-License-Identifier: Apache-2.0
// The names of L1's functions: from the list that the user gave, from its kernel's file, or out of its memory.

import { elfSymbols } from '../formats/elf-symbols.ts';
import { isElf } from '../formats/elf.ts';
import { parseSymbolList } from '../formats/symbol-list.ts';
import { LinearMemory } from './linear-memory.ts';
import type { PhysicalReader } from './linear-memory.ts';
import { linuxSymbols } from './linux-symbols.ts';
import { SymbolTable } from './symbols.ts';

/** Names of functions and labels. */
const NO_TYPE = 0;
const FUNCTION = 2;
const signed = (value: bigint): number => Number(BigInt.asIntN(64, value));

const PIECE = 0x4000;

/** A list as nm prints it, in ASCII. Throws UserError. */
export function symbolsOfList(bytes: Uint8Array, name: string): SymbolTable {
  let text = '';
  for (let at = 0; at < bytes.length; at += PIECE) text += String.fromCharCode(...bytes.subarray(at, at + PIECE));
  const listed = parseSymbolList(text, name);
  return new SymbolTable(
    listed.map(({ name: symbol, value, module }) => ({ name: symbol, address: signed(value), module })),
  );
}

/** Of an ELF kernel with a symbol table; undefined: it is another file, or stripped. */
export function symbolsOfKernel(kernel: Uint8Array, name: string): SymbolTable | undefined {
  if (!isElf(kernel)) return undefined;
  const named = elfSymbols(kernel, name).filter(
    ({ type, section, name: symbol }) => section !== 0 && symbol !== '' && (type === FUNCTION || type === NO_TYPE),
  );
  if (named.length === 0) return undefined;
  return new SymbolTable(
    named.map(({ name: symbol, value, size }) => ({ name: symbol, address: signed(value), size })),
  );
}

/** How often memory is searched: a kernel may fail before its tables are where they will be. */
const SEARCHES = 3;

/** Finds names when they are asked for. */
export class LevelSymbols {
  readonly #given: SymbolTable | undefined;
  #found: SymbolTable | undefined;
  #searches = 0;

  /** `given`: what the user or the kernel's file says; without it the level's memory is searched. */
  constructor(given: SymbolTable | undefined) {
    this.#given = given;
  }

  /** `cr3` is that of the level's software; undefined: no name is known. */
  name(address: number, memory: PhysicalReader, cr3: number): string | undefined {
    if (this.#given !== undefined) return this.#given.name(address);
    // A kernel's half of the address space.
    if (address >= 0) return undefined;
    const known = this.#found?.name(address);
    if (known !== undefined || this.#searches >= SEARCHES) return known;
    this.#searches++;
    this.#found = linuxSymbols(new LinearMemory(memory, cr3)) ?? this.#found;
    return this.#found?.name(address);
  }
}
