// SPDX-License-Identifier: Apache-2.0
import { hexBytes } from '../../base/hex.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { ENTRY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { EPT_VIOLATION } from '../../arch/vmx/qualifications.ts';
import { AR_DB, CR4_PAE } from '../../arch/vmx/state-bits.ts';
import { DecodeStatus, decode } from '../../decode/decoder.ts';
import { Instruction } from '../../decode/instruction.ts';
import type { CodeSize } from '../../decode/instruction.ts';
import type { Vcpu } from '../vcpu.ts';
import { isSet, readNatural } from '../vmcs-access.ts';
import { Emulation } from './emulation.ts';
import { LinearMemory } from './linear-memory.ts';
import { OPERATIONS } from './operations.ts';

const { GUEST_CS_BASE, GUEST_CS_AR_BYTES, VM_EXIT_REASON, EXIT_QUALIFICATION, GUEST_CR4, VM_ENTRY_CONTROLS } = OFFSET;
const LONGEST = 15;
const INVALID_OPCODE = 6;
const GENERAL_PROTECTION = 13;

/**
 * Does the instruction at RIP in place of the processor, because it reaches memory that is a device. Completes it, or
 * leaves an exception raised. What L0 cannot do is #UD for the guest, and counted with its bytes.
 */
export function emulateInstruction(vcpu: Vcpu): void {
  if (loadsPdptes(vcpu)) {
    vcpu.count();
    return vcpu.raise(GENERAL_PROTECTION, 0);
  }
  const memory = new LinearMemory(vcpu);
  const bytes = new Uint8Array(LONGEST);
  const length = memory.fetch(codeAddress(vcpu), bytes);
  const instruction = new Instruction();
  const status = decode(bytes, 0, length, codeSize(vcpu), instruction);
  vcpu.count();
  // The walk for the fetch found no memory; or the page has gone since the processor was there, which may go on with its
  // old translation for ever.
  if (status === DecodeStatus.TRUNCATED) return memory.endFetch();
  if (status === DecodeStatus.TOO_LONG) return vcpu.raise(GENERAL_PROTECTION, 0);
  if (status === DecodeStatus.UNDEFINED) return vcpu.raise(INVALID_OPCODE);
  const { mnemonic } = instruction.opcode;
  if (mnemonic === 'UD2') return vcpu.raise(INVALID_OPCODE);
  const operation = OPERATIONS.get(mnemonic);
  const outcome = operation?.(new Emulation(vcpu, instruction, memory)) ?? 'beyond';
  if (outcome === 'done') vcpu.completeInstruction(instruction.length);
  else if (outcome === 'iteration') vcpu.completeIteration();
  else if (outcome === 'beyond') refuse(vcpu, bytes.subarray(0, instruction.length));
}

/**
 * A MOV to a control register looked for page-directory-pointer entries where there is no memory: they read as all ones,
 * with reserved bits. No other access of an instruction has no linear address. See: SDM 4.4.1 PDPTE Registers
 */
function loadsPdptes({ processor }: Vcpu): boolean {
  if (processor.readLow(VM_EXIT_REASON) !== EXIT_REASON.EPT_VIOLATION) return false;
  const pae =
    (processor.readLow(GUEST_CR4) & CR4_PAE) !== 0 &&
    (processor.readLow(VM_ENTRY_CONTROLS) & ENTRY.IA32E_MODE_GUEST) === 0;
  return pae && extract(EPT_VIOLATION.LINEAR_VALID, processor.readLow(EXIT_QUALIFICATION)) === 0;
}

/** The exit was an EPT violation by a page walk. See: SDM 28.2.1 Basic VM-Exit Information */
export function reachedByWalk({ processor }: Vcpu): boolean {
  if (processor.readLow(VM_EXIT_REASON) !== EXIT_REASON.EPT_VIOLATION) return false;
  const qualification = processor.readLow(EXIT_QUALIFICATION);
  return (
    extract(EPT_VIOLATION.LINEAR_VALID, qualification) === 1 && extract(EPT_VIOLATION.TRANSLATED, qualification) === 0
  );
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
