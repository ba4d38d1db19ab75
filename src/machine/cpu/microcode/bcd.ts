// SPDX-License-Identifier: Apache-2.0
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { RAX } from '../state.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** Between the decimal adjustments, not in the SDM; processors execute it: AL := CF ? FFH : 0. */
function setFromCarry(cpu: Processor): number {
  cpu.bytes[RAX * 8] = cpu.arithmeticFlags & RFLAGS.CF ? 0xff : 0;
  return STATUS.next;
}

export const BCD_MICROCODE: MicrocodeRoutines = { SALC: setFromCarry };
