// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../../arch/vmx/fields.ts';
import { BASE_RIP, OperandKind } from '../../decode/instruction.ts';
import type { Instruction, Operand } from '../../decode/instruction.ts';
import type { Vcpu } from '../vcpu.ts';
import { readNatural } from '../vmcs-access.ts';
import { STATUS_FLAGS } from './arithmetic.ts';
import type { LinearMemory } from './linear-memory.ts';
import { bytesOf, linearOf, valueOf } from './linear-memory.ts';

const { GUEST_ES_BASE } = OFFSET;
const ES = 0;
const FS = 4;
const RSI = 6;
const RDI = 7;

/** An operand of a kind that the emulator has no access to: a segment, control or vector register. */
export const BEYOND = Symbol('beyond');
export type Value = bigint | undefined | typeof BEYOND;

/** One instruction of the guest on its operands. Values are unsigned; undefined or false: the access faulted. */
export class Emulation {
  readonly vcpu: Vcpu;
  readonly instruction: Instruction;
  readonly memory: LinearMemory;

  constructor(vcpu: Vcpu, instruction: Instruction, memory: LinearMemory) {
    this.vcpu = vcpu;
    this.instruction = instruction;
    this.memory = memory;
  }

  /** Operand `n`, cut or zero-extended to `bits` where it is an immediate. */
  read(n: number, bits = this.bits(n)): Value {
    const operand = this.instruction.operands[n];
    if (operand.kind === OperandKind.GENERAL) return this.register(operand);
    if (operand.kind === OperandKind.IMMEDIATE) return BigInt.asUintN(bits, this.#immediate());
    const linear = this.address(operand);
    return linear === undefined ? BEYOND : this.load(linear, operand.size / 8);
  }

  /** Writes operand `n`; false when that faulted. */
  write(n: number, value: bigint): boolean {
    const operand = this.instruction.operands[n];
    if (operand.kind === OperandKind.GENERAL) {
      this.setRegister(operand, value);
      return true;
    }
    const linear = this.address(operand);
    return linear !== undefined && this.memory.write(linear, bytesOf(value, operand.size / 8));
  }

  /** Before an operand is read and written: whether the write will not fault. */
  probe(n: number): boolean {
    const operand = this.instruction.operands[n];
    const linear = this.address(operand);
    return linear === undefined || this.memory.probe(linear, operand.size / 8);
  }

  load(linear: number, length: number): bigint | undefined {
    const bytes = new Uint8Array(length);
    return this.memory.read(linear, bytes) ? valueOf(bytes) : undefined;
  }

  bits(n: number): number {
    return this.instruction.operands[n].size;
  }

  register(operand: Operand): bigint {
    const value = this.vcpu.wide(operand.register);
    return BigInt.asUintN(operand.size, operand.high8 ? value >> 8n : value);
  }

  /** 32-bit results clear the upper half; smaller ones leave the rest. */
  setRegister(operand: Operand, value: bigint): void {
    const { register, size, high8 } = operand;
    if (size >= 32) return this.vcpu.writeWide(register, BigInt.asUintN(size, value));
    const shift = high8 ? 8n : 0n;
    const mask = ((1n << BigInt(size)) - 1n) << shift;
    this.vcpu.writeWide(register, (this.vcpu.wide(register) & ~mask) | ((value << shift) & mask));
  }

  get flags(): number {
    return this.vcpu.rflags & STATUS_FLAGS;
  }
  set flags(flags: number) {
    this.vcpu.rflags = (this.vcpu.rflags & ~STATUS_FLAGS) | flags;
  }

  /** The linear address of an operand in memory; undefined for one that is not. `offset`: bytes beyond it. */
  address(operand: Operand, offset = 0n): number | undefined {
    const { memory } = this.instruction;
    if (operand.kind === OperandKind.MEMORY) return this.#linear(memory.segment, this.#effective() + offset);
    if (operand.kind === OperandKind.STRING_SOURCE) return this.#linear(memory.segment, this.vcpu.wide(RSI));
    if (operand.kind === OperandKind.STRING_DESTINATION) return this.#linear(ES, this.vcpu.wide(RDI));
    return undefined;
  }

  #effective(): bigint {
    const { memory, length } = this.instruction;
    const { base, index, scale, displacementLow, displacementHigh } = memory;
    let sum = (BigInt(displacementHigh >>> 0) << 32n) | BigInt(displacementLow >>> 0);
    if (base === BASE_RIP) sum += BigInt(this.vcpu.rip + length);
    else if (base >= 0) sum += this.vcpu.wide(base);
    if (index >= 0) sum += this.vcpu.wide(index) << BigInt(scale);
    return sum;
  }

  /** In 64-bit mode only FS and GS have a base. See: SDM 3.4.4 Segment Loading Instructions in IA-32e Mode. */
  #linear(segment: number, effective: bigint): number {
    const { vcpu, instruction } = this;
    const offset = BigInt.asUintN(instruction.addressSize, effective);
    if (!vcpu.code64)
      return Number(BigInt.asUintN(32, offset + BigInt(readNatural(vcpu.processor, GUEST_ES_BASE + 8 * segment))));
    const base = segment < FS ? 0 : readNatural(vcpu.processor, GUEST_ES_BASE + 8 * segment);
    return linearOf(offset + BigInt(base));
  }

  #immediate(): bigint {
    return (BigInt(this.instruction.immediateHigh >>> 0) << 32n) | BigInt(this.instruction.immediateLow >>> 0);
  }
}
