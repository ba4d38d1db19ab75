// SPDX-License-Identifier: Apache-2.0

import { littleEndian, type Draft } from './draft.ts';
import { parseEncoding, type Encoding } from './encoding.ts';
import type { Form, RegisterKind } from './form.ts';
import { BIT_FORMS } from './forms/bits.ts';
import { INTEGER_FORMS } from './forms/integer.ts';
import { SSE_FORMS } from './forms/sse.ts';
import { STACK_FORMS } from './forms/stack.ts';
import { STRING_FORMS } from './forms/string.ts';
import { MMX_FORMS, X87_FORMS } from './forms/x87.ts';
import { DATA, READ_ONLY } from './memory-map.ts';
import type { Random } from './random.ts';
import { interestingInteger } from './values.ts';

/** Never written: where memory operands are, and an index. R15 counts loops. */
const BASE = 12;
const INDEX = 13;
const BASE_VALUE = DATA + 0x1000;
const INDEX_VALUE = 0x10;
const WRITABLE = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14];
/** Of those, what needs no REX as a register of any size. */
const LOW = [0, 1, 2, 3];
/** CMP EAX, imm32: all flags are defined again. */
const DEFINE_FLAGS = 0x3d;

/**
 * Not in streams: what reads an address or a count from a register that holds anything; what shows another processor's
 * undefined bits to the instruction after it; results that approximate; what sets control words.
 */
// prettier-ignore
const LEFT_OUT = [
  /^xlat|^mov A[0-3]|^i?div|^enter|^leave|^popf|^pushf|^push 0F|^pop 0F| rsp|^maskmov|^cvtpi2ps|^ldmxcsr|^dpp|^r(cp|sqrt)[ps]s|^pcmp[ei]str/,
  /^bs[fr] .* d$|^sh[lr]d .* w$|^bswap .* w$|^movsxd .* w$/,
  /^f(2xm1|yl2xp?1?|ptan|patan|sincos|sin|cos|prem1?|nst.*|nsave|ldenv|rstor|xsave.*|xrstor.*|ldcw|add pending|wait)\b|^fnop pending/,
];

const isLeftOut = ({ name }: Form): boolean => LEFT_OUT.some((pattern) => pattern.test(name));
const usable = (forms: readonly Form[]): Form[] => forms.filter((form) => !isLeftOut(form));
const withoutEmit = (forms: readonly Form[]): Form[] => usable(forms).filter((form) => !form.emit);

const INTEGERS = withoutEmit([...INTEGER_FORMS, ...BIT_FORMS]);
const STACK = withoutEmit(STACK_FORMS).filter(({ mnemonic }) => /^(push|pop)$/.test(mnemonic));
const VECTORS = withoutEmit(SSE_FORMS);
const STRINGS = usable(STRING_FORMS).filter(({ name }) => !name.includes('address32'));
const MMX = withoutEmit(MMX_FORMS);
const X87 = usable(X87_FORMS);

/** Encodes single instructions, without a fault in most, for a place in a stream. */
export class StreamEncoder {
  readonly #random: Random;
  readonly #described: boolean;
  /** Inside a subroutine: what RET finds on the stack must be what CALL put there. */
  inSubroutine = false;

  constructor(random: Random, described: boolean) {
    this.#random = random;
    this.#described = described;
  }

  static setPointers(general: BigUint64Array): void {
    general[BASE] = BigInt(BASE_VALUE);
    general[INDEX] = BigInt(INDEX_VALUE);
  }

  /** The bytes of an instruction for address `at`; where it leaves flags undefined, those of another that defines them. */
  instruction(at: number): number[] {
    const form = this.#choose();
    const bytes = this.#encode(form, at);
    return form.undefined && !this.#described ? [...bytes, DEFINE_FLAGS, ...this.#random.bytes(4)] : bytes;
  }

  /** MOV, MOV; an operation on both; SETcc, CMOVcc, Jcc over an INC, ADC, SBB or RCL. Registers below R8, all four sizes. */
  flagsAndUse(): number[] {
    const random = this.#random;
    const size = random.pick([1, 2, 4, 8]);
    const [a, b] = [random.pick(LOW), random.pick(LOW)];
    const value = interestingInteger(random, size);
    const other = random.chance(35) ? value : interestingInteger(random, size);
    const load = (register: number, bits: bigint): number[] => [0x48, 0xb8 + register, ...littleEndian(bits, 8)];
    const prefix = size === 2 ? [0x66] : size === 8 ? [0x48] : [];
    const wide = size === 1 ? 0 : 1;
    const modrm = 0xc0 | (b << 3) | a;
    // ADD OR ADC SBB AND SUB XOR CMP, CMP again, TEST; NEG, INC, DEC.
    const two = (): number[] => [
      random.pick([0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x38, 0x84]) + wide,
      modrm,
    ];
    const one = (): number[] =>
      random.pick([
        [0xf6 + wide, 0xd8 | a],
        [0xfe + wide, 0xc0 | a],
        [0xfe + wide, 0xc8 | a],
      ]);
    const operation = random.chance(85) ? two() : one();
    return [...load(a, value), ...load(b, other), ...prefix, ...operation, ...this.#useOfFlags()];
  }

  /** None of these asks for AF, which logic leaves undefined. */
  #useOfFlags(): number[] {
    const random = this.#random;
    const condition = random.below(16);
    const modrm = 0xc0 | (random.pick(LOW) << 3) | random.pick(LOW);
    const size = random.pick([[], [0x48], [0x66]]);
    return random
      .pick([
        [0x0f, 0x90 | condition, modrm],
        [...size, 0x0f, 0x40 | condition, modrm],
        [0x70 | condition, 2, 0xff, 0xc0 | random.pick(LOW)],
        [...size, random.pick([0x11, 0x19]), modrm],
        [...size, 0xd1, 0xd0 | random.pick(LOW)],
      ])
      .concat(DEFINE_FLAGS, ...random.bytes(4));
  }

  #choose(): Form {
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 50) return random.pick(INTEGERS);
    if (dice < 57) return random.pick(this.inSubroutine ? INTEGERS : STACK);
    if (dice < 80) return random.pick(VECTORS);
    if (this.#described) return random.pick(dice < 90 ? MMX : INTEGERS);
    return random.pick(dice < 84 ? STRINGS : dice < 88 ? MMX : X87);
  }

  #encode(form: Form, at: number): number[] {
    if (form.group === 'string') return this.#string(form);
    if (form.emit) return form.emit({ random: this.#random, size: form.size || 8 } as Draft);
    const encoding = parseEncoding(form.code);
    const bitString = /^bt[src]? 0F [AB][3B] /.test(form.name);
    const memory =
      encoding.modrm !== 'none' &&
      !bitString &&
      form.rm !== 'register' &&
      (form.rm === 'memory' || this.#random.chance(30));
    return memory ? this.#withMemory(form, encoding, at) : this.#withRegisters(form, encoding);
  }

  /** LEA RSI and RDI to somewhere in the data, MOV ECX; the string operation. */
  #string(form: Form): number[] {
    const random = this.#random;
    const lea = (register: number): number[] => [
      0x49,
      0x8d,
      0x84 | (register << 3),
      0x24,
      ...littleEndian(BigInt(random.below(0x800) - 0x400), 4),
    ];
    const count = [0xb9, ...littleEndian(BigInt(random.below(20)), 4)];
    const operation = (form.emit as NonNullable<Form['emit']>)({ random, size: form.size } as Draft);
    return [...lea(6), ...lea(7), ...count, ...operation];
  }

  #register(kind: RegisterKind | undefined): number {
    if (kind === 'xmm') return this.#random.below(16);
    return kind === 'mmx' || kind === 'x87' ? this.#random.below(8) : this.#random.pick(WRITABLE);
  }

  #withRegisters(form: Form, encoding: Encoding): number[] {
    const reg = this.#regField(form, encoding);
    const rm = this.#register(form.registers);
    const modrm = encoding.modrm === 'none' ? [] : [0xc0 | ((reg & 7) << 3) | (rm & 7)];
    const base = encoding.plusRegister ? reg : encoding.modrm === 'none' ? 0 : rm;
    const head = this.#head(form, encoding, { reg: encoding.modrm === 'r' ? reg : 0, index: 0, base });
    return [...head, ...this.#opcode(encoding, reg), ...modrm, ...this.#immediates(form, encoding)];
  }

  #withMemory(form: Form, encoding: Encoding, at: number): number[] {
    const random = this.#random;
    const length = form.memory ?? (form.size || 8);
    const target = this.#target(length, form.align ?? 1);
    const reg = this.#regField(form, encoding);
    const field = (reg & 7) << 3;
    const mode = random.below(3);
    const lock = form.lock && random.chance(15) ? [0xf0] : [];
    const head = [
      ...lock,
      ...this.#head(form, encoding, {
        reg: encoding.modrm === 'r' ? reg : 0,
        index: mode === 2 ? INDEX : 0,
        base: mode === 0 ? 0 : BASE,
      }),
    ];
    const opcode = this.#opcode(encoding, reg);
    const immediates = this.#immediates(form, encoding);
    const scale = random.below(4);
    const displacement = (from: number): number[] => littleEndian(BigInt(target - from), 4);
    const end = at + head.length + opcode.length + 5 + immediates.length;
    if (mode === 0) return [...head, ...opcode, 0x05 | field, ...displacement(end), ...immediates];
    if (mode === 1) return [...head, ...opcode, 0x84 | field, 0x24, ...displacement(BASE_VALUE), ...immediates];
    const sib = (scale << 6) | ((INDEX & 7) << 3) | (BASE & 7);
    return [...head, ...opcode, 0x84 | field, sib, ...displacement(BASE_VALUE + (INDEX_VALUE << scale)), ...immediates];
  }

  /** In the data, now and then in the read-only page after it, now and then not aligned. */
  #target(length: number, align: number): number {
    const random = this.#random;
    if (random.chance(0.5)) return READ_ONLY + 16 * random.below(16);
    const offset = DATA + 0xe00 + random.below(0x400 - length);
    return random.chance(0.5) ? offset : offset - (offset % align);
  }

  #regField(form: Form, encoding: Encoding): number {
    return typeof encoding.modrm === 'number' ? encoding.modrm : this.#register(form.reg ?? form.registers);
  }

  #opcode({ opcode, plusRegister }: Encoding, reg: number): number[] {
    return plusRegister ? [...opcode.slice(0, -1), opcode[opcode.length - 1] + (reg & 7)] : [...opcode];
  }

  #head(form: Form, encoding: Encoding, { reg, index, base }: { reg: number; index: number; base: number }): number[] {
    const wide = form.size === 8 && form.group !== 'stack';
    const low = ((reg >> 3) << 2) | ((index >> 3) << 1) | (base >> 3);
    const size = form.size === 2 ? [0x66] : [];
    if (encoding.vex) {
      const { w, pp, map } = encoding.vex;
      const vvvv = form.mnemonic === 'rorx' ? 0 : this.#random.pick(WRITABLE);
      return [0xc4, ((low ^ 7) << 5) | map, ((w | (wide ? 1 : 0)) << 7) | ((vvvv ^ 15) << 3) | pp];
    }
    const rex = 0x40 | (encoding.rexW || wide ? 8 : 0) | low;
    return [
      ...size,
      ...encoding.prefixes,
      ...(rex === 0x40 && !this.#random.chance(form.size === 1 ? 40 : 0) ? [] : [rex]),
    ];
  }

  #immediates(form: Form, encoding: Encoding): number[] {
    const size = form.size || 8;
    return encoding.immediates.flatMap((kind) => {
      const bytes = kind === 'v' ? size : kind === 'z' ? Math.min(size, 4) : kind;
      return littleEndian(this.#random.chance(50) ? BigInt(this.#random.below(70)) : this.#random.u64(), bytes);
    });
  }
}
