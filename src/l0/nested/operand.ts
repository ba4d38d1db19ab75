// SPDX-License-Identifier: Apache-2.0
// The memory operand of a VMX instruction of L1, from the VM-exit instruction information and the displacement in the
// exit qualification, with the checks that the processor would make. CPL is 0.
// See: SDM 28.2.5 Information for VM Exits Due to Instruction Execution, 5.3 Limit Checking, 5.4 Type Checking

import { OFFSET } from '../../arch/vmx/fields.ts';
import { decodeMemoryOperand } from '../../arch/vmx/instruction-information.ts';
import type { MemoryOperand } from '../../arch/vmx/instruction-information.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { LinearMemory } from '../emulator/linear-memory.ts';
import type { Vcpu } from '../vcpu.ts';
import { readNatural } from '../vmcs-access.ts';

const { EXIT_QUALIFICATION, GUEST_ES_BASE, GUEST_ES_LIMIT, GUEST_ES_AR_BYTES } = OFFSET;

const TWO_32 = 0x1_0000_0000;
const CANONICAL_END = 0x8000_0000_0000;
const [SS, FS] = [2, 4];
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
/** Access rights: code or data type in bits 3:0, D/B, unusable. */
const RIGHTS = { typeAndClass: 0x1c, expandDownData: 0x14, big: 1 << 14, unusable: 1 << 16 } as const;

const halves: Halves = { low: 0, high: 0 };

/** Reads `bytes` from the operand; false: an exception was raised, and no flag changed. */
export function readOperand(vcpu: Vcpu, information: number, bytes: Uint8Array): boolean {
  const linear = operandLinear(vcpu, information, bytes.length, false);
  return linear !== undefined && new LinearMemory(vcpu).read(linear, bytes);
}

/** Writes likewise. */
export function writeOperand(vcpu: Vcpu, information: number, bytes: Uint8Array): boolean {
  const linear = operandLinear(vcpu, information, bytes.length, true);
  return linear !== undefined && new LinearMemory(vcpu).write(linear, bytes);
}

/** Linear address, a signed Number, of `size` bytes; undefined after raising #GP(0) or #SS(0). */
function operandLinear(vcpu: Vcpu, information: number, size: number, write: boolean): number | undefined {
  const operand = decodeMemoryOperand(information);
  const offset = effectiveOffset(vcpu, operand);
  return vcpu.code64
    ? linear64(vcpu, operand.segment, offset, size)
    : linear32(vcpu, operand.segment, offset, size, write);
}

/** Cut to the address size: unsigned for 16 and 32 bits, signed for 64 (rounded above 2^53, which is not canonical). */
function effectiveOffset(vcpu: Vcpu, { addressSize, base, index, scale = 1 }: MemoryOperand): number {
  const { processor } = vcpu;
  let low = processor.readLow(EXIT_QUALIFICATION);
  let high = processor.readHigh(EXIT_QUALIFICATION);
  const addRegister = (register: number, times: number): void => {
    vcpu.readGeneral(register, halves);
    const product = halves.low * times;
    low += product % TWO_32;
    high += halves.high * times + Math.floor(product / TWO_32);
  };
  if (base !== undefined) addRegister(base, 1);
  if (index !== undefined) addRegister(index, scale);
  if (addressSize === 16) return low & 0xffff;
  if (addressSize === 32) return low >>> 0;
  const carried = (high + Math.floor(low / TWO_32)) % TWO_32;
  return (carried | 0) * TWO_32 + (low >>> 0);
}

/** The base counts for FS and GS only; no limit, but the address must be canonical. */
function linear64(vcpu: Vcpu, segment: number, offset: number, size: number): number | undefined {
  const linear = segment >= FS ? readNatural(vcpu.processor, GUEST_ES_BASE + 8 * segment) + offset : offset;
  if (linear >= -CANONICAL_END && linear + size <= CANONICAL_END) return linear;
  return fault(vcpu, segment);
}

function linear32(vcpu: Vcpu, segment: number, offset: number, size: number, write: boolean): number | undefined {
  const { processor } = vcpu;
  const rights = processor.readLow(GUEST_ES_AR_BYTES + 8 * segment);
  const limit = processor.readLow(GUEST_ES_LIMIT + 8 * segment);
  if (!permits(rights, write) || !inside(rights, limit, offset, size)) return fault(vcpu, segment);
  return (processor.readLow(GUEST_ES_BASE + 8 * segment) + offset) % TWO_32;
}

function permits(rights: number, write: boolean): boolean {
  if (rights & RIGHTS.unusable) return false;
  return write ? (rights & 0xa) === 2 : (rights & 0xa) !== 8;
}

function inside(rights: number, limit: number, offset: number, size: number): boolean {
  const last = offset + size - 1;
  if ((rights & RIGHTS.typeAndClass) !== RIGHTS.expandDownData) return last <= limit;
  return offset > limit && last <= (rights & RIGHTS.big ? 0xffffffff : 0xffff);
}

function fault(vcpu: Vcpu, segment: number): undefined {
  vcpu.raise(segment === SS ? STACK_FAULT : GENERAL_PROTECTION, 0);
  return undefined;
}
