// SPDX-License-Identifier: Apache-2.0

/** A name for an address; addresses are signed Numbers, so that those of kernels are exact. */
export interface KernelSymbol {
  readonly name: string;
  readonly address: number;
  /** Bytes, where it is known. */
  readonly size?: number | undefined;
  /** The module it is of. */
  readonly module?: string | undefined;
}

/** Symbols without a size are taken to reach to the next one, but no further than this. */
const LONGEST = 1 << 20;

/** Finds the symbol that an address lies in. */
export class SymbolTable {
  readonly #symbols: readonly KernelSymbol[];
  readonly #addresses: Float64Array;

  constructor(symbols: Iterable<KernelSymbol>) {
    this.#symbols = [...symbols].sort((a, b) => a.address - b.address);
    this.#addresses = Float64Array.from(this.#symbols, ({ address }) => address);
  }

  get size(): number {
    return this.#symbols.length;
  }

  /** `name+0x93`, with its module in brackets; undefined: the address lies in none. */
  name(address: number): string | undefined {
    const symbol = this.#symbols[this.#last(address)];
    if (symbol === undefined) return undefined;
    const offset = address - symbol.address;
    if (offset >= (symbol.size || LONGEST)) return undefined;
    const module = symbol.module === undefined ? '' : ` [${symbol.module}]`;
    return `${symbol.name}${offset === 0 ? '' : `+0x${offset.toString(16)}`}${module}`;
  }
  address(name: string): number | undefined {
    return this.#symbols.find((symbol) => symbol.name === name)?.address;
  }

  /** Index of the last symbol that does not lie behind the address, -1 for none. */
  #last(address: number): number {
    let [low, high] = [0, this.#addresses.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
