// SPDX-License-Identifier: Apache-2.0

/** Text as UTF-8 bytes (ASCII stays one byte each); a lone surrogate becomes U+FFFD. */
export function textBytes(text: string): Uint8Array {
  const escaped = encodeURIComponent(text.toWellFormed());
  const bytes: number[] = [];
  for (let at = 0; at < escaped.length; at++) {
    if (escaped[at] === '%') {
      bytes.push(Number.parseInt(escaped.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(escaped.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}

/** A C string: UTF-8 bytes and the closing zero. */
export function nulTerminated(text: string): Uint8Array {
  return textBytes(`${text}\0`);
}

/** Text of a fixed-width field, padded with `pad` (a byte); longer text is cut. */
export function fixedText(text: string, width: number, pad = 0x20): Uint8Array {
  const field = new Uint8Array(width).fill(pad);
  field.set(textBytes(text).subarray(0, width));
  return field;
}

/** Reads text that ends at a zero byte, after `limit` bytes, or at the end of `bytes`; one character per byte. */
export function readText(bytes: Uint8Array, offset: number, limit = bytes.length): string {
  let text = '';
  for (let at = offset; at < bytes.length && at < offset + limit && bytes[at] !== 0; at++) {
    text += String.fromCharCode(bytes[at]!);
  }
  return text;
}
