// SPDX-License-Identifier: Apache-2.0

import { assert } from '../base/assert.ts';

// The framing of the GDB remote serial protocol: `$payload#checksum`, acknowledgements, and the interrupt byte.
// See: GDB manual, E.1 Overview (packets), E.2 Standard Replies, E.16 Packet Acknowledgment.

const DOLLAR = 0x24; // '$' starts a packet
const HASH = 0x23; // '#' ends it; two checksum digits follow
const ESCAPE = 0x7d; // '}' then the byte xor 0x20
const REPEAT = 0x2a; // '*' then the count + 29
const PLUS = 0x2b;
const MINUS = 0x2d;
const INTERRUPT = 0x03;
const ESCAPE_XOR = 0x20;
const REPEAT_BIAS = 29;

/** What one end hears from the other. */
export type GdbInput =
  | { readonly kind: 'packet'; readonly payload: Uint8Array }
  /** A packet whose checksum is wrong: answer '-'. */
  | { readonly kind: 'damaged' }
  /** '+' and '-'. */
  | { readonly kind: 'acknowledged' }
  | { readonly kind: 'rejected' }
  /** The byte 03: stop the target. */
  | { readonly kind: 'interrupt' };

/** '+' and '-', as sent. */
export const GDB_ACKNOWLEDGE: Uint8Array = Uint8Array.of(PLUS);
export const GDB_REJECT: Uint8Array = Uint8Array.of(MINUS);

/** The frame around a payload: text (ASCII) or bytes. Special bytes are escaped; runs are not compressed. */
export function encodeGdbPacket(payload: string | Uint8Array): Uint8Array {
  const bytes = typeof payload === 'string' ? asciiBytes(payload) : payload;
  const body: number[] = [];
  for (const byte of bytes) {
    if (byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === REPEAT) body.push(ESCAPE, byte ^ ESCAPE_XOR);
    else body.push(byte);
  }
  const sum = body.reduce((total, byte) => (total + byte) & 0xff, 0);
  return Uint8Array.from([DOLLAR, ...body, HASH, ...asciiBytes(sum.toString(16).padStart(2, '0'))]);
}

/** Takes the bytes of a connection as they come, in any pieces, and gives whole inputs. */
export class GdbDecoder {
  /** Bytes of the packet that is arriving, as framed; undefined between packets. */
  #frame: number[] | undefined;
  /** Place of '#' in the frame, -1 before it came. */
  #end = -1;

  *push(bytes: Uint8Array): Generator<GdbInput> {
    for (const byte of bytes) {
      const input = this.#frame ? this.#inside(byte) : this.#between(byte);
      if (input) yield input;
    }
  }

  #between(byte: number): GdbInput | undefined {
    switch (byte) {
      case DOLLAR:
        this.#frame = [];
        this.#end = -1;
        return undefined;
      case PLUS:
        return { kind: 'acknowledged' };
      case MINUS:
        return { kind: 'rejected' };
      case INTERRUPT:
        return { kind: 'interrupt' };
      default:
        return undefined; // line noise, which the protocol tells to ignore
    }
  }

  #inside(byte: number): GdbInput | undefined {
    const frame = this.#frame as number[];
    if (byte === DOLLAR && this.#end < 0) {
      frame.length = 0; // the sender began again
      return undefined;
    }
    if (byte === HASH && this.#end < 0) this.#end = frame.length;
    frame.push(byte);
    if (this.#end < 0 || frame.length < this.#end + 3) return undefined;
    this.#frame = undefined;
    const body = frame.slice(0, this.#end);
    const stated = Number.parseInt(String.fromCharCode(frame[this.#end + 1], frame[this.#end + 2]), 16);
    const sum = body.reduce((total, each) => (total + each) & 0xff, 0);
    const payload = sum === stated ? expand(body) : undefined;
    return payload ? { kind: 'packet', payload } : { kind: 'damaged' };
  }
}

/** Undoes escapes and runs; undefined if the body ends within one or repeats nothing. */
function expand(body: readonly number[]): Uint8Array | undefined {
  const payload: number[] = [];
  for (let at = 0; at < body.length; at++) {
    const byte = body[at];
    if (byte !== ESCAPE && byte !== REPEAT) {
      payload.push(byte);
      continue;
    }
    if (++at === body.length) return undefined;
    if (byte === ESCAPE) {
      payload.push(body[at] ^ ESCAPE_XOR);
      continue;
    }
    const count = body[at] - REPEAT_BIAS;
    if (payload.length === 0 || count < 1) return undefined;
    for (let n = 0; n < count; n++) payload.push(payload[payload.length - 1]);
  }
  return Uint8Array.from(payload);
}

/** A payload as text, one character per byte. */
export function gdbText(payload: Uint8Array): string {
  let text = '';
  for (const byte of payload) text += String.fromCharCode(byte);
  return text;
}

/** Bytes as hexadecimal digits, the way registers and memory travel. */
export function gdbHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Inverse of `gdbHex`; undefined unless the text is pairs of digits (`xx`, "not available", is not). */
export function gdbUnhex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, n) => Number.parseInt(text.slice(2 * n, 2 * n + 2), 16));
}

function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length }, (_, n) => {
    const code = text.charCodeAt(n);
    assert(code < 0x100, 'a gdb packet in text is one byte per character');
    return code;
  });
}
