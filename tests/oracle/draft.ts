// SPDX-License-Identifier: Apache-2.0

import type { Allowance, MemoryBytes } from './case.ts';
import type { UserState } from './cpu-under-test.ts';
import { parseEncoding, type Encoding } from './encoding.ts';
import type { Form } from './form.ts';
import { CODE, CODE_END, DATA, FAR, NON_CANONICAL, READ_ONLY, STACK, UNMAPPED } from './memory-map.ts';
import type { Random } from './random.ts';
import { createUserState } from './records.ts';
import { interestingBytes, interestingInteger, interestingRegister, type DataKind } from './values.ts';

const RSP = 4;
const ARITHMETIC_FLAGS = 0x8d5;
const ALIGNMENT_CHECK = 0x40000n;
const LOCK = 0xf0;

/** A case being made: operands are chosen, the form's `prepare` may change them, then bytes and memory follow. */
export class Draft {
  readonly form: Form;
  readonly random: Random;
  readonly encoding: Encoding;
  /** Operand size in bytes; forms without sizes have 8. */
  readonly size: number;
  readonly state: UserState;
  readonly allowance: Allowance = { rflags: 0, general: 0, fsw: 0, memory: [], errorCode: 0 };
  /** ModR/M.reg, or the register in the opcode. */
  reg: number;
  /** VEX.vvvv. */
  vvvv: number;
  /** ModR/M.rm as a register; undefined for memory. */
  rm: number | undefined;
  /** Linear address of the memory operand. */
  target = 0n;
  /** What is written at the target before the run; undefined leaves the background. */
  targetBytes: Uint8Array | undefined;
  /** Immediate operands in order; made up unless `prepare` set them. */
  immediates: bigint[] = [];
  /** General registers that may not serve for addressing. */
  readonly reserved = new Set<number>();
  /** A segment override or an address size is not wanted. */
  plain = false;
  readonly patches: MemoryBytes[] = [];
  code: number[] = [];

  constructor(form: Form, random: Random) {
    this.form = form;
    this.random = random;
    this.encoding = encodingOf(form);
    this.size = form.size || 8;
    this.state = createUserState();
    this.reg =
      typeof this.encoding.modrm === 'number' ? this.encoding.modrm : this.#register(form.reg ?? form.registers);
    this.vvvv = random.below(16);
    const memory = form.rm === 'memory' || (form.rm !== 'register' && random.chance(45));
    this.rm = memory ? undefined : this.#register(form.registers);
  }

  get memoryLength(): number {
    return this.form.memory ?? this.size;
  }

  /** The immediate as a number, signed for its width. */
  get immediate(): number {
    return Number(this.immediates[0]);
  }

  /** Value of a general register's low `size` bytes. */
  register(n: number, size = this.size): bigint {
    return BigInt.asUintN(size * 8, this.state.general[n]);
  }

  setRegister(n: number, value: bigint): void {
    this.state.general[n] = value;
    this.reserved.add(n);
  }

  patch(address: bigint, bytes: Uint8Array): void {
    this.patches.push({ address, bytes });
  }

  /** An address for `length` bytes: mostly plain, sometimes at an edge of what is mapped. */
  chooseAddress(length: number, align = 1): bigint {
    const { random } = this;
    const dice = random.below(100);
    if (align > 1) {
      const aligned = (offset: number): number => offset - (offset % align);
      if (dice < 84) return BigInt(DATA + aligned(random.below(0x2000 - length)));
      if (dice < 88) return BigInt(READ_ONLY + aligned(random.below(0x1000 - length)));
      if (dice < 92) return BigInt(UNMAPPED + aligned(random.below(0x100)));
      if (dice < 94) return BigInt(FAR + aligned(random.below(0x1000 - length)));
      return BigInt(DATA + random.below(0x2000 - length));
    }
    if (dice < 72) return BigInt(DATA + random.below(0x2000 - length));
    if (dice < 80) return BigInt(DATA + 0x1000 - random.below(length + 1));
    if (dice < 84) return BigInt(READ_ONLY + random.below(0x1000 - length));
    if (dice < 88) return BigInt(READ_ONLY - random.below(length + 1));
    if (dice < 91) return BigInt(UNMAPPED + random.below(0x1000));
    if (dice < 94) return BigInt(UNMAPPED - random.below(length + 1));
    if (dice < 96) return BigInt(FAR + random.below(0x1000 - length));
    if (dice < 98) return BigInt(DATA - random.below(length + 1));
    return NON_CANONICAL + BigInt(random.below(256));
  }

  /** A stack pointer: mostly well inside the stack, sometimes where a push or pop leaves it. */
  chooseStackPointer(): bigint {
    const { random } = this;
    const dice = random.below(100);
    if (dice < 60) return BigInt(STACK + 0x1000 - 0x400 + 8 * random.below(0x100));
    if (dice < 85) return BigInt(STACK + 0x400 + random.below(0x1800));
    if (dice < 90) return BigInt(STACK + random.below(12));
    if (dice < 95) return BigInt(STACK + 0x2000 - random.below(12));
    if (dice < 98) return BigInt(READ_ONLY + 0x1000 - random.below(0x20));
    return NON_CANONICAL + BigInt(0x10000 + random.below(64));
  }

  build(): void {
    const { form, state, random } = this;
    for (let n = 0; n < 16; n++) state.general[n] = interestingRegister(random, this.size);
    state.rflags = BigInt(0x202 | (random.u32() & ARITHMETIC_FLAGS));
    for (let at = 0; at < 256; at++) state.xmm[at] = (at * 37 + 11) & 0xff;
    this.#fillVectorOperands();
    this.target = this.chooseAddress(this.memoryLength, form.align);
    this.targetBytes = interestingBytes(random, form.data ?? 'integer', this.memoryLength);
    this.immediates = this.encoding.immediates.map((kind) => this.#makeImmediate(kind));
    form.prepare?.(this);
    this.#emit();
    if (this.rm === undefined && this.encoding.modrm !== 'none' && this.targetBytes)
      this.patch(this.target, this.targetBytes);
    this.allowance.rflags |= typeof form.undefined === 'function' ? form.undefined(this) : (form.undefined ?? 0);
    form.allow?.(this);
  }

  #register(kind: Form['reg']): number {
    return this.random.below(kind === 'mmx' || kind === 'x87' ? 8 : 16);
  }

  #fillVectorOperands(): void {
    const { form, random, state } = this;
    if (form.reg === 'mmx' || form.registers === 'mmx') this.#fillMmx();
    if (form.reg !== 'xmm' && form.registers !== 'xmm') return;
    const kind: DataKind = form.data === undefined || form.data === 'integer' ? 'vector' : form.data;
    for (const n of new Set([0, this.reg, this.rm ?? 0])) state.xmm.set(interestingBytes(random, kind, 16), 16 * n);
    if (kind !== 'vector') state.mxcsr = randomMxcsr(random);
  }

  /** MMX sees the x87 registers: any TOP, and bits 79:64 mostly as an MMX write leaves them. */
  #fillMmx(): void {
    const { random, state } = this;
    state.fsw = random.below(8) << 11;
    state.ftw = random.chance(50) ? 0xff : random.below(256);
    for (let n = 0; n < 8; n++) {
      state.st.set(interestingBytes(random, 'vector', 8), 16 * n);
      state.st.fill(random.chance(80) ? 0xff : 0x3f, 16 * n + 8, 16 * n + 10);
    }
  }

  #makeImmediate(kind: number | 'z' | 'v'): bigint {
    const bytes = kind === 'v' ? this.size : kind === 'z' ? Math.min(this.size, 4) : kind;
    return BigInt.asIntN(bytes * 8, interestingInteger(this.random, bytes));
  }

  #immediateBytes(): number[] {
    return this.encoding.immediates.flatMap((kind, n) => {
      const bytes = kind === 'v' ? this.size : kind === 'z' ? Math.min(this.size, 4) : kind;
      return littleEndian(this.immediates[n], bytes);
    });
  }

  #emit(): void {
    const { form } = this;
    this.code = form.emit ? form.emit(this) : this.#assemble();
    if (form.redundant) this.#prepend(form.redundant(this));
    this.state.rip = BigInt(this.#chooseRip(this.code.length));
    if (this.#ripDisplacementAt >= 0) {
      const displacement = this.#operand - (this.state.rip + BigInt(this.code.length));
      this.code.splice(this.#ripDisplacementAt, 4, ...littleEndian(displacement, 4));
    }
  }

  #prepend(prefixes: readonly number[]): void {
    this.code.unshift(...prefixes);
    if (this.#ripDisplacementAt >= 0) this.#ripDisplacementAt += prefixes.length;
  }

  #chooseRip(length: number): number {
    const { random } = this;
    if (this.form.group === 'invalid' || random.chance(96)) return CODE + 0x800 + random.below(64);
    if (random.chance(50)) return CODE + 0x1000 - random.below(length + 1);
    return CODE_END - length + (length > 1 && random.chance(50) ? 1 + random.below(length - 1) : 0);
  }

  #ripDisplacementAt = -1;
  #operand = 0n;

  #assemble(): number[] {
    const { encoding, form, size, random } = this;
    const memory = encoding.modrm !== 'none' && this.rm === undefined;
    const legacy: number[] = [];
    let segmentBase = 0n;
    let address32 = false;
    if (memory && form.lock && random.chance(15)) legacy.push(LOCK);
    if (memory && !this.plain) {
      const dice = random.below(100);
      if (dice < 5) segmentBase = this.#overrideSegment(legacy);
      else if (dice < 10 && this.target < 0x1_0000_0000n) {
        address32 = true;
        legacy.push(0x67);
      }
      if (size < 16 && form.size !== 0 && random.chance(2)) this.state.rflags |= ALIGNMENT_CHECK;
    }
    if (size === 2 && form.size) legacy.push(0x66);
    const address = memory ? this.#address(BigInt.asUintN(64, this.target - segmentBase), address32) : undefined;
    const tail = this.#modrm(address);
    const head = encoding.vex ? this.#vexPrefix(encoding.vex, address) : this.#rexPrefix(address);
    const prefix = [...legacy, ...encoding.prefixes, ...head, ...this.#opcode()];
    if (address?.rip) this.#ripDisplacementAt = prefix.length + tail.length - 4;
    return [...prefix, ...tail, ...this.#immediateBytes()];
  }

  #overrideSegment(legacy: number[]): bigint {
    const base = BigInt.asUintN(46, this.random.u64());
    const fs = this.random.chance(50);
    legacy.push(fs ? 0x64 : 0x65);
    if (fs) this.state.fsBase = base;
    else this.state.gsBase = base;
    return base;
  }

  #opcode(): number[] {
    const { opcode, plusRegister } = this.encoding;
    return plusRegister ? [...opcode.slice(0, -1), opcode[opcode.length - 1] + (this.reg & 7)] : [...opcode];
  }

  #rexPrefix(address: Address | undefined): number[] {
    const { encoding, random } = this;
    const low = address ? (address.index ?? 0) >> 3 : 0;
    const base = address ? (address.base ?? 0) >> 3 : encoding.plusRegister ? this.reg >> 3 : (this.rm ?? 0) >> 3;
    const reg = encoding.modrm === 'r' ? this.reg >> 3 : 0;
    const wide = encoding.rexW || (this.form.size === 8 && !isDefault64(this.form));
    const usesBase = encoding.modrm !== 'none' || encoding.plusRegister;
    const rex = 0x40 | (wide ? 8 : 0) | (reg << 2) | (low << 1) | (usesBase ? base : 0);
    // A REX without bits is allowed, and turns AH CH DH BH into SPL BPL SIL DIL.
    return rex !== 0x40 || random.chance(this.form.size === 1 ? 40 : 3) ? [rex] : [];
  }

  #vexPrefix(vex: NonNullable<Encoding['vex']>, address: Address | undefined): number[] {
    const wide = vex.w | (this.form.size === 8 ? 1 : 0);
    const r = this.encoding.modrm === 'r' ? this.reg >> 3 : 0;
    const x = (address?.index ?? 0) >> 3;
    const b = (address ? (address.base ?? 0) : (this.rm ?? 0)) >> 3;
    const second = ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | vex.map;
    return [0xc4, second, (wide << 7) | ((this.vvvv ^ 15) << 3) | vex.pp];
  }

  #modrm(address: Address | undefined): number[] {
    if (this.encoding.modrm === 'none') return [];
    const reg = (this.reg & 7) << 3;
    return address ? addressBytes(address, reg) : [0xc0 | reg | ((this.rm as number) & 7)];
  }

  /** Chooses an addressing mode and sets its registers so that it yields `operand`. */
  #address(operand: bigint, address32: boolean): Address {
    const { random, state } = this;
    this.#operand = operand;
    const mode = random.below(10);
    const ripReach = operand < 0x7000_0000n;
    if (mode === 0 && ripReach) return { rip: true, displacement: 0, displacementBytes: 4 };
    if (mode === 1 && operand < 0x8000_0000n) return { displacement: Number(operand), displacementBytes: 4 };
    const base = this.#freeRegister(-1, false);
    const displacementBytes = random.pick([0, 1, 1, 4]);
    const displacement =
      displacementBytes === 0 ? 0 : displacementBytes === 1 ? random.below(256) - 128 : random.u32() | 0;
    const width = address32 ? 32 : 64;
    let rest = operand - BigInt(displacement);
    const address: Address = { base, displacement, displacementBytes };
    if (mode >= 6) {
      address.index = this.#freeRegister(base, true);
      address.scale = random.below(4);
      rest -= BigInt.asUintN(width, state.general[address.index]) << BigInt(address.scale);
    }
    const high = address32 ? random.u64() & ~0xffff_ffffn : 0n;
    state.general[base] = BigInt.asUintN(width, rest) | BigInt.asUintN(64, high);
    return address;
  }

  #freeRegister(other: number, index: boolean): number {
    for (;;) {
      const n = this.random.below(16);
      if (n !== other && !this.reserved.has(n) && !(index && n === RSP)) return n;
    }
  }
}

const WRITES_ITSELF: Encoding = {
  prefixes: [],
  rexW: false,
  opcode: [],
  plusRegister: false,
  modrm: 'none',
  immediates: [],
};
const encodings = new Map<string, Encoding>();

function encodingOf(form: Form): Encoding {
  if (form.emit) return WRITES_ITSELF;
  let encoding = encodings.get(form.code);
  if (!encoding) encodings.set(form.code, (encoding = parseEncoding(form.code)));
  return encoding;
}

type Address = {
  base?: number;
  index?: number;
  scale?: number;
  rip?: boolean;
  displacement: number;
  displacementBytes: number;
};

/** See: SDM 2.1.5 Addressing-Mode Encoding of ModR/M and SIB Bytes. */
function addressBytes(address: Address, reg: number): number[] {
  const { base, index, displacement } = address;
  if (address.rip) return [reg | 5, 0, 0, 0, 0];
  if (base === undefined) return [reg | 4, 0x25, ...littleEndian(BigInt(displacement), 4)];
  const bytes = address.displacementBytes === 0 && (base & 7) === 5 ? 1 : address.displacementBytes;
  const mod = bytes === 0 ? 0 : bytes === 1 ? 0x40 : 0x80;
  const tail = littleEndian(BigInt(displacement), bytes);
  if (index === undefined && (base & 7) !== 4) return [mod | reg | (base & 7), ...tail];
  const sib = ((address.scale ?? 0) << 6) | (((index ?? 4) & 7) << 3) | (base & 7);
  return [mod | reg | 4, sib, ...tail];
}

/** Operations whose operand is 64 bits without REX.W, so `q` needs none. */
function isDefault64(form: Form): boolean {
  return form.group === 'stack' || form.mnemonic === 'jmp' || form.mnemonic === 'call';
}

export function littleEndian(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
}

/** All exceptions masked in most cases; any rounding, flush-to-zero and denormals-are-zeros in some. */
function randomMxcsr(random: Random): number {
  const masks = random.chance(80) ? 0x1f80 : random.u32() & 0x1f80;
  const rounding = random.chance(50) ? random.u32() & 0x6000 : 0;
  const flags = random.chance(25) ? random.u32() & 0x3f : 0;
  return masks | rounding | flags | (random.chance(12) ? 0x8000 : 0) | (random.chance(12) ? 0x40 : 0);
}
