// SPDX-License-Identifier: Apache-2.0
import { Addressing } from '../../../src/arch/instructions/operand-notation.ts';
import type { OpcodeRow } from '../../../src/arch/instructions/row.ts';
import type { CodeSize } from '../../../src/decode/instruction.ts';

/** Bytes to be decoded, made from a seed. */

export const SIZES: readonly CodeSize[] = [16, 32, 64];
/** Each instruction gets a slot of this many bytes: more than the longest, so that none is cut off. */
export const SLOT = 24;

// prettier-ignore
const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x48, 0x41, 0x44, 0x4f, 0x40];
const ESCAPES = [[], [], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a], [0xc4], [0xc5]];
const MANDATORY = [[], [0x66], [0xf3], [0xf2]];
const MAP_BYTES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

export class ByteSource {
  private state: number;

  /** The same bytes for the same `seed`, a number other than 0. */
  constructor(seed: number) {
    this.state = seed;
  }

  /** xorshift. Gives 0 to below `limit`. */
  below(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return Math.floor(((this.state >>> 0) / 2 ** 32) * limit);
  }

  private prefixes(): number[] {
    const prefixes: number[] = [];
    while (prefixes.length < 4 && this.below(10) < 4) prefixes.push(PREFIXES[this.below(PREFIXES.length)]);
    return prefixes;
  }

  private fill(out: Uint8Array, at: number, head: readonly number[]): void {
    for (let n = 0; n < SLOT; n++) out[at + n] = n < head.length ? head[n] : this.below(256);
  }

  /** A slot of random bytes, often behind prefixes and an escape to one of the maps. */
  random(out: Uint8Array, at: number): void {
    this.fill(out, at, this.below(4) === 0 ? [] : [...this.prefixes(), ...ESCAPES[this.below(ESCAPES.length)]]);
  }

  /** Bytes that select a row, as far as prefixes let them; what the row leaves open is random. */
  row(out: Uint8Array, at: number, row: OpcodeRow, size: CodeSize): void {
    this.fill(out, at, [...this.opcodeBytes(row, size), this.modrm(row)]);
  }

  /** A real instruction of `length` bytes at `from`, with a prefix put before it, bits or a byte changed, or its end. */
  mutated(out: Uint8Array, at: number, bytes: Uint8Array, from: number, length: number): void {
    const real = [...bytes.subarray(from, from + length)];
    const where = this.below(length);
    const change = this.below(4);
    if (change === 0) real.unshift(PREFIXES[this.below(PREFIXES.length)]);
    else if (change === 1) real[where] ^= 1 << this.below(8);
    else if (change === 2) real[where] = this.below(256);
    else real.splice(where, 1);
    this.fill(out, at, real);
  }

  private opcodeBytes(row: OpcodeRow, size: CodeSize): number[] {
    const opcode = row.opcode + (row.registerInOpcode ? this.below(8) : 0);
    if (row.map >= 4) return [...this.vex(row), opcode];
    const mandatory = row.mandatoryPrefix > 0 ? MANDATORY[row.mandatoryPrefix] : [];
    const hasRex = size === 64 && (row.w === 1 || this.below(2) === 0);
    const rex = hasRex ? [0x40 | this.below(16) | (row.w === 1 ? 8 : 0)] : [];
    return [...this.prefixes(), ...mandatory, ...rex, ...MAP_BYTES[row.map], opcode];
  }

  private modrm(row: OpcodeRow): number {
    if (row.modrm >= 0) return row.modrm + this.below(row.modrmCount);
    const free = this.below(256);
    const modrm = row.digit >= 0 ? (free & 0xc7) | (row.digit << 3) : free;
    if (row.mod === 'register') return modrm | 0xc0;
    return row.mod === 'memory' && modrm >= 0xc0 ? modrm - 0x40 * (1 + this.below(3)) : modrm;
  }

  private vex(row: OpcodeRow): number[] {
    const open = row.operands.some((form) => form.addressing === Addressing.B) ? this.below(16) : 15;
    return [0xc4, (this.below(8) << 5) | (row.map - 3), (this.below(2) << 7) | (open << 3) | row.mandatoryPrefix];
  }
}
