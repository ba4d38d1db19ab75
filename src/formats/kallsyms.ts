// SPDX-License-Identifier: Apache-2.0
// The symbol table that a Linux kernel carries in its read-only data, as of 6.1: offsets, base, number, names, markers,
// sequence numbers by name in some, tokens. See: Linux scripts/kallsyms.c, kernel/kallsyms.c

export interface KallsymsSymbol {
  readonly name: string;
  readonly kind: string;
  /** A signed Number. */
  readonly address: number;
}

const TOKENS = 256;
const NAMES_PER_MARKER = 256;
const LONGEST_256_NAMES = 0x8000;
/** Bytes from the markers to the tokens. */
const FARTHEST = 1 << 21;
/** Digits are tokens of their own: no pair of them is frequent enough. */
const DIGITS = Array.from('0123456789', (digit) => `${digit}\0`).join('');
const FIRST_DIGIT = 0x30;

/** The table in these bytes, which are the kernel as it lies in memory or in its file; undefined: there is none. */
export function findKallsyms(bytes: Uint8Array): KallsymsSymbol[] | undefined {
  const needle = Uint8Array.from(DIGITS, (character) => character.charCodeAt(0));
  for (let at = indexOf(bytes, needle, 0); at >= 0; at = indexOf(bytes, needle, at + 1)) {
    const found = new Table(bytes).from(at);
    if (found !== undefined) return found;
  }
  return undefined;
}

function indexOf(bytes: Uint8Array, needle: Uint8Array, from: number): number {
  const last = bytes.length - needle.length;
  for (let at = bytes.indexOf(needle[0]!, from); at >= 0 && at <= last; at = bytes.indexOf(needle[0]!, at + 1))
    if (needle.every((byte, i) => bytes[at + i] === byte)) return at;
  return -1;
}

class Table {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The table whose token for the digit 0 lies there; undefined where it is none. */
  from(digits: number): KallsymsSymbol[] | undefined {
    const start = this.#tokenTable(digits);
    const tokens = start < 0 ? undefined : this.#tokens(start);
    if (tokens === undefined) return undefined;
    const names = this.#names(start);
    return names === undefined ? undefined : this.#symbols(names.at, names.count, tokens);
  }

  /** Tokens are texts that end in 0; the table begins on an 8-byte boundary, after the padding of what is before it. */
  #tokenTable(digits: number): number {
    let at = digits;
    for (let token = FIRST_DIGIT; token > 0; token--) {
      at -= 2;
      while (at >= 0 && this.#bytes[at] !== 0) at--;
      at++;
      if (at <= 0 || digits - at > 0x10000) return -1;
    }
    // The first token may have eaten the padding's end, never its own beginning.
    return at % 8 === 0 ? at : -1;
  }
  #tokens(start: number): string[] | undefined {
    const tokens: string[] = [];
    for (let at = start; tokens.length < TOKENS; at++) {
      const end = this.#bytes.indexOf(0, at);
      if (end < at || end - at > 0x100) return undefined;
      tokens.push(String.fromCharCode(...this.#bytes.subarray(at, end)));
      at = end;
    }
    return tokens;
  }

  /**
   * Offsets of every 256th name, from 0 up. They are the last such numbers before the tokens: with nothing but padding
   * between, or (since kernel/kallsyms.c searches by name) 3 bytes for each symbol.
   */
  #names(end: number): { readonly at: number; readonly count: number } | undefined {
    for (let at = end - (end % 8); at >= 0 && end - at < FARTHEST; at -= 8) {
      if (this.#word(at) !== 0) continue;
      const markers = this.#increasing(at);
      // No kernel has fewer names than one marker is for, and a lonely 0 is everywhere.
      const found = markers.length > 1 ? this.#namesBefore(at, markers) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }
  #increasing(start: number): number[] {
    const values = [0];
    for (let at = start + 4; ; at += 4) {
      const [last, value] = [values.at(-1)!, this.#word(at)];
      if (value <= last || value - last > LONGEST_256_NAMES) return values;
      values.push(value);
    }
  }
  /** Unsigned; 0 beyond the end. */
  #word(at: number): number {
    return at + 4 <= this.#bytes.length ? this.#view.getUint32(at, true) : 0;
  }

  /** The names begin 8 bytes after their number, and every marker is met. */
  #namesBefore(end: number, markers: readonly number[]): { readonly at: number; readonly count: number } | undefined {
    const most = markers.length * NAMES_PER_MARKER;
    const least = most - NAMES_PER_MARKER;
    const last = end - markers.at(-1)!;
    for (let at = last - (last % 8); at >= 8 && last - at < 0x20000; at -= 8) {
      const count = this.#view.getUint32(at - 8, true);
      if (count > least && count <= most && this.#meets(at, count, markers)) return { at, count };
    }
    return undefined;
  }
  #meets(start: number, count: number, markers: readonly number[]): boolean {
    let at = start;
    for (let i = 0; i < count; i++) {
      if (i % NAMES_PER_MARKER === 0 && at - start !== markers[i / NAMES_PER_MARKER]) return false;
      at += this.#lengthAt(at).bytes;
    }
    return true;
  }
  #lengthAt(at: number): { readonly tokens: number; readonly header: number; readonly bytes: number } {
    const first = this.#bytes[at] ?? 0;
    const long = (first & 0x80) !== 0;
    const tokens = long ? (first & 0x7f) | ((this.#bytes[at + 1] ?? 0) << 7) : first;
    const header = long ? 2 : 1;
    return { tokens, header, bytes: header + tokens };
  }

  /** Before the number the base that offsets are relative to, before that the offsets. Those of per-CPU data are absolute. */
  #symbols(names: number, count: number, tokens: readonly string[]): KallsymsSymbol[] | undefined {
    const base = Number(this.#view.getBigInt64(names - 16, true));
    const offsets = names - 16 - Math.ceil((4 * count) / 8) * 8;
    if (offsets < 0) return undefined;
    let at = names;
    return Array.from({ length: count }, (_, i) => {
      const { tokens: length, header, bytes } = this.#lengthAt(at);
      let text = '';
      for (let j = 0; j < length; j++) text += tokens[this.#bytes[at + header + j]!]!;
      at += bytes;
      const offset = this.#view.getInt32(offsets + 4 * i, true);
      return { name: text.slice(1), kind: text[0] ?? '?', address: offset >= 0 ? offset : base - 1 - offset };
    });
  }
}
