// SPDX-License-Identifier: Apache-2.0
// The names of a running Linux kernel's functions, found in its own memory: the kernel's kallsyms tables, and the symbol
// tables that modules keep. So they are right also where the kernel was moved (KASLR), and need no file.
// See: Linux kernel/kallsyms.c, include/linux/module.h (6.1)

import { findKallsyms } from '../formats/kallsyms.ts';
import type { LinearMemory } from './linear-memory.ts';
import { SymbolTable } from './symbols.ts';
import type { KernelSymbol } from './symbols.ts';

/** Where the kernel's image is mapped, wherever in it KASLR put it. See: Linux Documentation/x86/x86_64/mm.rst */
const IMAGE_START = -0x80000000;
const IMAGE_END = -0x40000000;
const STEP = 1 << 21;
const LARGEST_IMAGE = 1 << 27;

/** struct module: `state`, then `list` at 8, then `name`. */
const [LIST_IN_MODULE, NAME_IN_MODULE, NAME_BYTES, MODULE_BYTES] = [8, 24, 56, 0x400];
const MOST_MODULES = 1000;
const MOST_SYMBOLS = 1 << 16;
const ELF64_SYM = 24;
const STT_FUNC = 2;

/** Of the kernel and all modules that are loaded; undefined: there is no Linux whose tables we know. */
export function linuxSymbols(memory: LinearMemory): SymbolTable | undefined {
  const image = kernelImage(memory);
  const found = image && findKallsyms(image);
  if (found === undefined) return undefined;
  const kernel = found.filter(({ address }) => address < 0);
  const modules = kernel.find(({ name }) => name === 'modules')?.address;
  return new SymbolTable([...kernel, ...(modules === undefined ? [] : moduleSymbols(memory, modules))]);
}

/** What is mapped of the image's range, in one piece; gaps in it are 0. */
function kernelImage(memory: LinearMemory): Uint8Array | undefined {
  let [first, last] = [0, 0];
  for (let at = IMAGE_START; at < IMAGE_END; at += STEP) {
    if (memory.translate(at) === undefined) continue;
    if (first === 0) first = at;
    if (at - first < LARGEST_IMAGE) last = at + STEP;
  }
  if (first === 0) return undefined;
  const bytes = new Uint8Array(last - first);
  memory.read(first, bytes);
  return bytes;
}

/** `head` is the kernel's list of modules. */
function moduleSymbols(memory: LinearMemory, head: number): KernelSymbol[] {
  const symbols: KernelSymbol[] = [];
  let entry = memory.pointer(head);
  for (let i = 0; i < MOST_MODULES && entry !== undefined && entry !== head; i++) {
    symbols.push(...symbolsOf(memory, entry - LIST_IN_MODULE));
    entry = memory.pointer(entry);
  }
  return symbols;
}

/**
 * The functions of one module. Where `core_kallsyms` lies in struct module depends on the kernel's configuration, but
 * `kallsyms` points to it, from the same structure.
 */
function symbolsOf(memory: LinearMemory, module: number): KernelSymbol[] {
  const bytes = new Uint8Array(MODULE_BYTES);
  if (!memory.read(module, bytes)) return [];
  const view = new DataView(bytes.buffer);
  const name = textAt(bytes, NAME_IN_MODULE, NAME_IN_MODULE + NAME_BYTES);
  for (let at = NAME_IN_MODULE + NAME_BYTES; at < MODULE_BYTES; at += 8) {
    const inside = Number(view.getBigInt64(at, true)) - module;
    if (inside <= at || inside > MODULE_BYTES - 24 || inside % 8 !== 0) continue;
    const [symtab, strtab] = [view.getBigInt64(inside, true), view.getBigInt64(inside + 16, true)].map(Number);
    const count = view.getUint32(inside + 8, true);
    const found = count > 1 && count < MOST_SYMBOLS ? functions(memory, name, symtab!, strtab!, count) : [];
    if (found.length > 0) return found;
  }
  return [];
}

function functions(
  memory: LinearMemory,
  module: string,
  symtab: number,
  strtab: number,
  count: number,
): KernelSymbol[] {
  const table = new Uint8Array(count * ELF64_SYM);
  if (!memory.read(symtab, table)) return [];
  const view = new DataView(table.buffer);
  const text = new Uint8Array(128);
  const symbols: KernelSymbol[] = [];
  for (let at = 0; at < table.length; at += ELF64_SYM) {
    // The kernel keeps the type where st_info was, or beside the table; a size tells a function in either case.
    const [value, size] = [Number(view.getBigInt64(at + 8, true)), Number(view.getBigUint64(at + 16, true))];
    const isFunction = (view.getUint8(at + 4) & 0xf) === STT_FUNC && size > 0;
    if (!isFunction || !memory.read(strtab + view.getUint32(at, true), text)) continue;
    symbols.push({ name: textAt(text, 0, text.length), address: value, size, module });
  }
  return symbols;
}

function textAt(bytes: Uint8Array, from: number, to: number): string {
  const end = bytes.indexOf(0, from);
  return String.fromCharCode(...bytes.subarray(from, end < 0 ? to : Math.min(end, to)));
}
