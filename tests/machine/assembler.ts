// SPDX-License-Identifier: Apache-2.0

/** Bytes that lie at an address of their own, and where the labels are. */
export interface Assembled {
  readonly pieces: readonly { readonly address: number; readonly bytes: Uint8Array }[];
  readonly labels: Readonly<Record<string, number>>;
}

/** `>x` 32 bits, relative; `~x` 8 bits, relative; `=x` 32 bits, absolute; `:x` 64 bits, absolute; with `+12` (hex) at will. */
const REFERENCE = /^([>~=:])(\w+?)(?:\+([0-9a-f]+))?$/;
const WIDTH: Readonly<Record<string, number>> = { '>': 4, '~': 1, '=': 4, ':': 8 };

type Token = { readonly at: number } & (
  | { readonly byte: number }
  | { readonly kind: string; readonly name: string; readonly plus: number }
);

/**
 * Lines like `e8 >leaf ; call leaf`: bytes in hex and references to labels, then a comment. `leaf:` on a line of its
 * own is a label; `@ 11000` goes on at that address.
 */
export function assemble(origin: number, text: string): Assembled {
  const labels: Record<string, number> = {};
  const tokens: Token[] = [];
  let at = origin;
  for (const line of text.split('\n').map((each) => each.replace(/;.*/, '').trim())) {
    const place = /^@ ?([0-9a-f]+)$/.exec(line);
    const label = /^(\w+):$/.exec(line);
    if (place) at = Number.parseInt(place[1], 16);
    else if (label) labels[label[1]] = at;
    else
      for (const word of line.split(/\s+/).filter((each) => each !== '')) {
        tokens.push(token(word, at));
        at += WIDTH[word[0]] ?? 1;
      }
  }
  return { pieces: tokens.map((each) => ({ address: each.at, bytes: encode(each, labels) })), labels };
}

function token(word: string, at: number): Token {
  const reference = REFERENCE.exec(word);
  if (reference) return { at, kind: reference[1], name: reference[2], plus: Number.parseInt(reference[3] ?? '0', 16) };
  if (!/^[0-9a-f]{2}$/.test(word)) throw new Error(`neither a byte nor a reference: ${word}`);
  return { at, byte: Number.parseInt(word, 16) };
}

function encode(token: Token, labels: Readonly<Record<string, number>>): Uint8Array {
  if ('byte' in token) return Uint8Array.of(token.byte);
  const target = labels[token.name];
  if (target === undefined) throw new Error(`no label ${token.name}`);
  const width = WIDTH[token.kind];
  const value = target + token.plus - (token.kind === '>' || token.kind === '~' ? token.at + width : 0);
  if (width === 1 && (value < -128 || value > 127)) throw new Error(`${token.name} is too far away`);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true);
  return bytes.subarray(0, width);
}

/** A 32-bit number as bytes of a line. */
export function dword(value: number): string {
  return [0, 8, 16, 24].map((shift) => ((value >>> shift) & 255).toString(16).padStart(2, '0')).join(' ');
}
