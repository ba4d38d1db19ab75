// SPDX-License-Identifier: Apache-2.0
import { hexBytes } from '../../base/hex.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { AR_DB } from '../../arch/vmx/state-bits.ts';
import { DecodeStatus, decode } from '../../decode/decoder.ts';
import { Instruction } from '../../decode/instruction.ts';
import type { CodeSize } from '../../decode/instruction.ts';
import type { Vcpu } from '../vcpu.ts';
import { isSet, readNatural } from '../vmcs-access.ts';
import { Emulation } from './emulation.ts';
import { LinearMemory } from './linear-memory.ts';
import { OPERATIONS } from './operations.ts';

const { GUEST_CS_BASE, GUEST_CS_AR_BYTES } = OFFSET;
const LONGEST = 15;
const INVALID_OPCODE = 6;
const GENERAL_PROTECTION = 13;

/**
 * Does the instruction at RIP in place of the processor, because it reaches memory that is a device. Completes it, or
 * leaves an exception raised. What L0 cannot do is #UD for the guest, and counted with its bytes.
 */
export function emulateInstruction(vcpu: Vcpu): void {
  const memory = new LinearMemory(vcpu);
  const bytes = new Uint8Array(LONGEST);
  const length = memory.fetch(codeAddress(vcpu), bytes);
  const instruction = new Instruction();
  const status = decode(bytes, 0, length, codeSize(vcpu), instruction);
  // It was the fetch that reached a device: page tables lie where there is no memory. What else is missing, EPT12 has not,
  // and the processor finds that out by itself.
  if (status === DecodeStatus.TRUNCATED) {
    if (memory.raiseFetchFault()) vcpu.count();
    return;
  }
  vcpu.count();
  if (status === DecodeStatus.TOO_LONG) return vcpu.raise(GENERAL_PROTECTION, 0);
  const operation = status === DecodeStatus.OK ? OPERATIONS.get(instruction.opcode.mnemonic) : undefined;
  const outcome = operation?.(new Emulation(vcpu, instruction, memory)) ?? 'beyond';
  if (outcome === 'done') vcpu.completeInstruction(instruction.length);
  else if (outcome === 'iteration') vcpu.completeIteration();
  else if (outcome === 'beyond') refuse(vcpu, bytes.subarray(0, instruction.length));
}

function refuse(vcpu: Vcpu, bytes: Uint8Array): void {
  const { unemulated } = vcpu.machine;
  const text = hexBytes(bytes);
  unemulated.set(text, (unemulated.get(text) ?? 0) + 1);
  vcpu.raise(INVALID_OPCODE);
}

function codeAddress(vcpu: Vcpu): number {
  return vcpu.code64 ? vcpu.rip : (readNatural(vcpu.processor, GUEST_CS_BASE) + vcpu.rip) >>> 0;
}

function codeSize(vcpu: Vcpu): CodeSize {
  if (vcpu.code64) return 64;
  return isSet(vcpu.processor, GUEST_CS_AR_BYTES, AR_DB) ? 32 : 16;
}
