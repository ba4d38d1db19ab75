// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { packRegisters, unpackEnvironment, unpackRegisters } from './images.ts';
import { littleEndian, toBytes } from './instruction.ts';
import type { X87Instruction, X87Operand } from './instruction.ts';
import { x87Instruction } from './table.ts';
import { X87 } from './x87.ts';

const POOL = 256;
const bytes = new Uint8Array(gunzipSync(readFileSync(new URL('../softfloat/vectors/x87.bin.gz', import.meta.url))));
const view = new DataView(bytes.buffer);

/** A real processor's results differ in the last bit; its C1 too. */
const TRANSCENDENTAL = new Set(['F2XM1', 'FYL2X', 'FPTAN', 'FPATAN', 'FYL2XP1', 'FSINCOS', 'FSIN', 'FCOS']);
/** The SDM clears C1 where the processor of the vectors leaves it. */
const C1_DIFFERS = /^FU?COMIP?\b|^FCMOV/;
const C1 = 0x0200;

/** One case as recorded. */
interface Case {
  /** Indices of ST(0), ST(1), the other registers and the memory operand; settings; which registers are empty and TOP; conditions and RFLAGS. */
  readonly inputs: Uint8Array;
  readonly fsw: number;
  readonly tags: number;
  /** CF, PF, ZF in bits 0 to 2; bit 3: one of OF, SF and AF. */
  readonly eflags: number;
  /** ST(0), ST(1) and ST(7). */
  readonly registers: Uint8Array;
  readonly stored: Uint8Array;
}

class Reader {
  at = 0;

  take(length: number): Uint8Array {
    this.at += length;
    return bytes.subarray(this.at - length, this.at);
  }

  u16(): number {
    this.at += 2;
    return view.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.at += 4;
    return view.getUint32(this.at - 4, true);
  }

  case(storedBytes: number): Case {
    return {
      inputs: this.take(7),
      fsw: this.u16(),
      tags: this.u16(),
      eflags: this.take(1)[0],
      registers: this.take(30),
      stored: this.take(storedBytes),
    };
  }
}

const reader = new Reader();
/** By kind of operand: binary32, binary64, extended80, and integers of 32 and 64 bits. */
const WIDTHS: Readonly<Record<string, number>> = { s: 4, d: 8, t: 10, i: 4, q: 8 };
const pools = new Map(Object.entries(WIDTHS).map(([kind, width]) => [kind, reader.take(width * POOL)]));

function pooled(kind: string, index: number): Uint8Array {
  const width = WIDTHS[kind];
  return pools.get(kind)?.subarray(index * width, (index + 1) * width) ?? new Uint8Array();
}

function bcd(value: bigint, sign: number): Uint8Array {
  const digits = toBytes(BigInt(`0x${(value % 10n ** 18n).toString()}`), 10);
  digits[9] = sign;
  return digits;
}

function memoryOperand(kind: string, inputs: Uint8Array): Uint8Array {
  if (kind === 'h') return pooled('i', inputs[3]).subarray(0, 2);
  if (kind === 'b') return bcd(littleEndian(pooled('q', inputs[3])), inputs[6]);
  return pooled(kind, inputs[3]);
}

/** Masks, precision and rounding of a settings byte. */
function controlWord(settings: number): number {
  const precision = (settings >> 4) & 3;
  const unmasked = settings & 15;
  const masks = unmasked >= 7 ? 0x3f : unmasked === 6 ? 0 : 0x3f & ~(1 << unmasked);
  return 0x40 | masks | ((precision === 1 ? 3 : precision) << 8) | ((settings >> 6) << 10);
}

/** Which of ST(0) to ST(7) hold something. */
function occupied(layout: number): number {
  return [0b111, 0b1111_1111, 0b110, 0b101, 0][Math.max(0, Math.min(layout >> 4, 15) - 11)];
}

function load(x87: X87, inputs: Uint8Array): number {
  const top = inputs[5] & 7;
  const valid = occupied(inputs[5]);
  const image = new Uint8Array(28);
  const words = new DataView(image.buffer);
  let tags = 0;
  for (let n = 0; n < 8; n++) if ((valid & (1 << n)) === 0) tags |= 3 << (2 * ((top + n) & 7));
  words.setUint16(0, controlWord(inputs[4]), true);
  words.setUint16(4, (top << 11) | ((inputs[6] & 7) << 8) | ((inputs[6] & 8) << 11), true);
  words.setUint16(8, tags, true);
  unpackEnvironment(x87, image, 'protected32');
  const registers = new Uint8Array(80);
  for (let n = 0; n < 8; n++) registers.set(pooled('t', inputs[Math.min(n, 2)]), n * 10);
  unpackRegisters(x87, registers);
  return ((inputs[6] >> 4) & 1) | ((inputs[6] >> 3) & 4) | (inputs[6] & 0x40);
}

const abridged = (eflags: number): number => (eflags & 1) | ((eflags & 4) >> 1) | ((eflags & 0x40) >> 4);

/** Encodings of one sign as integers are in the order of their values, but a carry into the exponent skips 2^63. */
function isNear(a: Uint8Array, b: Uint8Array): boolean {
  const position = (bits: bigint): bigint => (bits >> 64n) * 2n ** 63n + (bits & (2n ** 63n - 1n));
  const distance = position(littleEndian(a)) - position(littleEndian(b));
  return distance >= -1n && distance <= 1n;
}

/** What the SDM leaves undefined, or for Intel says otherwise. */
function isOpen(name: string, x87: X87): boolean {
  const exponent = Number(x87.bits(0) >> 64n) & 0x7fff;
  if (name === 'FYL2XP1') return exponent >= 0x3ffd && exponent < 0x7fff;
  return /^FU?COMIP?\b/.test(name) && (x87.fcw & 1) === 0;
}

function differences(name: string, instruction: X87Instruction, kind: string, given: Case, x87: X87): string[] {
  const eflags = load(x87, given.inputs);
  if (isOpen(name, x87)) return [];
  const memory = instruction.memory === 'load' ? memoryOperand(kind, given.inputs) : new Uint8Array();
  const operand: X87Operand = { index: 1, eflags, memory };
  const outcome = instruction.run(x87, operand);
  const registers = packRegisters(x87);
  const approximate = TRANSCENDENTAL.has(name);
  const sameRegister = (n: number, i: number): boolean => {
    const got = registers.subarray(i * 10, i * 10 + 10);
    const wanted = given.registers.subarray(n * 10, n * 10 + 10);
    return got.every((byte, at) => byte === wanted[at]) || (approximate && isNear(got, wanted));
  };
  const store = outcome.store ?? new Uint8Array(given.stored.length).fill(0xcc);
  const ignored = approximate || C1_DIFFERS.test(name) ? C1 : 0;
  // prettier-ignore
  const checks: [string, boolean][] = [
    ['ST(0)', sameRegister(0, 0)],
    ['ST(1)', sameRegister(1, 1)],
    ['ST(7)', sameRegister(2, 7)],
    [`status ${x87.fsw.toString(16)} for ${given.fsw.toString(16)}`, ((x87.fsw ^ given.fsw) & ~ignored) === 0],
    ['tags', approximate || x87.fullTags === given.tags],
    ['flags', abridged(outcome.eflags ?? eflags) === (given.eflags & 7)],
    ['other flags', outcome.eflags === undefined || given.eflags >> 3 === 0],
    ['memory', given.stored.every((byte, at) => store[at] === byte)],
  ];
  return checks.filter(([, same]) => !same).map(([what]) => what);
}

describe('x87 against a real processor', () => {
  it('leaves the same registers, status, tags, flags and memory', () => {
    const forms = reader.u32();
    const cases = reader.u32();
    const x87 = new X87(new ArrayBuffer(0x1000), 0x100);
    const differing: string[] = [];
    for (let f = 0; f < forms; f++) {
      const name = String.fromCharCode(...reader.take(20)).replaceAll('\0', '');
      const [kind, , size] = reader.take(4);
      const instruction = x87Instruction(name.replace(/ .*/, ''), name.replace(/^\S+ ?/, ''));
      for (let n = 0; n < cases; n++) {
        const given = reader.case(instruction.memory === 'store' ? size : 0);
        const found = differences(name, instruction, String.fromCharCode(kind), given, x87);
        if (found.length > 0) differing.push(`${name} case ${n}: ${found.join(', ')}`);
      }
    }
    assert.equal(reader.at, bytes.length);
    assert.equal(forms * cases, 125 * 40);
    assert.deepEqual(differing, []);
  });
});
