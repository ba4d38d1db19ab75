// SPDX-License-Identifier: Apache-2.0
// The memory operand of a VMX instruction of L1, from the VM-exit instruction information and the displacement in the
// exit qualification, with the checks that the processor would make. CPL is 0.
// See: SDM 28.2.5 Information for VM Exits Due to Instruction Execution

import { OFFSET } from '../../arch/vmx/fields.ts';
import { decodeMemoryOperand } from '../../arch/vmx/instruction-information.ts';
import type { MemoryOperand } from '../../arch/vmx/instruction-information.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { LinearMemory } from '../emulator/linear-memory.ts';
import { segmentLinear } from '../emulator/segments.ts';
import type { Vcpu } from '../vcpu.ts';

const { EXIT_QUALIFICATION } = OFFSET;

const TWO_32 = 0x1_0000_0000;

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
  return segmentLinear(vcpu, operand.segment, offset, size, write);
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
