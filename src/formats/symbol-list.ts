// SPDX-License-Identifier: Apache-2.0
// Lists of symbols as nm, System.map and /proc/kallsyms have them: "ffffffff81000000 T _text", and a module in brackets.

import { UserError } from '../base/errors.ts';

export interface ListedSymbol {
  readonly name: string;
  /** Unsigned. */
  readonly value: bigint;
  readonly kind: string;
  /** Of /proc/kallsyms. */
  readonly module: string | undefined;
}

const LINE = /^([0-9a-fA-F]{1,16})\s+([A-Za-z?])\s+(\S+)(?:\s+\[(\S+)\])?\s*$/;
/** nm lists what is undefined without an address. */
const UNDEFINED = /^\s+[UwvV]\s+\S+\s*$/;

/** Throws UserError when the text is something else, or all addresses are hidden. */
export function parseSymbolList(text: string, name: string): ListedSymbol[] {
  const symbols: ListedSymbol[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || UNDEFINED.test(line)) continue;
    const [, value, kind, symbol, module] = LINE.exec(line) ?? [];
    if (value === undefined)
      throw new UserError(
        `${name} is no list of symbols: line ${index + 1} is not "ADDRESS TYPE NAME"`,
        'give what nm prints, a System.map, or a copy of /proc/kallsyms',
      );
    symbols.push({ name: symbol!, value: BigInt(`0x${value}`), kind: kind!, module });
  }
  if (symbols.length === 0) throw new UserError(`${name} lists no symbols`, 'give what nm prints, a System.map, or a copy of /proc/kallsyms'); // prettier-ignore
  if (symbols.every(({ value }) => value === 0n))
    throw new UserError(
      `${name} has 0 for every address: the kernel hid them from whoever copied it`,
      'copy /proc/kallsyms as root, in the guest',
    );
  return symbols;
}
