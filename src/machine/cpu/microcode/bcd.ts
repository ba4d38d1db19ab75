// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../processor.ts';
import type { Processor } from '../processor.ts';
import { RAX } from '../state.ts';
import { VECTOR } from './exceptions.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

/** Decimal adjustments. Flags that the SDM leaves undefined follow the result, but for OF, which is cleared. */
function resultFlags(al: number): number {
  let parity = al ^ (al >> 4);
  parity = (0x9669 >> (parity & 15)) & 1;
  return (parity ? RFLAGS.PF : 0) | (al === 0 ? RFLAGS.ZF : 0) | (al & 0x80 ? RFLAGS.SF : 0);
}

/** DAA (+1) and DAS (-1). */
function packed(sign: 1 | -1): Microcode {
  return (cpu) => {
    const flags = cpu.arithmeticFlags;
    const before = cpu.words[RAX * 2] & 0xff;
    let al = before;
    let carry = 0;
    const adjust = (before & 15) > 9 || (flags & RFLAGS.AF) !== 0;
    if (adjust) {
      al += 6 * sign;
      carry = (flags & RFLAGS.CF) | (al < 0 || al > 0xff ? RFLAGS.CF : 0);
    }
    if (before > 0x99 || flags & RFLAGS.CF) {
      al += 0x60 * sign;
      carry = RFLAGS.CF;
    } else if (sign === 1) carry = 0;
    cpu.view.setUint8(RAX * 8, al);
    cpu.arithmeticFlags = resultFlags(al & 0xff) | carry | (adjust ? RFLAGS.AF : 0);
    return STATUS.next;
  };
}

/** AAA (+1) and AAS (-1). */
function unpacked(sign: 1 | -1): Microcode {
  return (cpu) => {
    const ax = cpu.reg16(RAX);
    const adjust = (ax & 15) > 9 || (cpu.arithmeticFlags & RFLAGS.AF) !== 0;
    const after = (adjust ? ax + 0x106 * sign : ax) & 0xff0f;
    cpu.setReg16(RAX, after);
    cpu.arithmeticFlags = resultFlags(after & 0xff) | (adjust ? RFLAGS.AF | RFLAGS.CF : 0);
    return STATUS.next;
  };
}

function aam(cpu: Processor, instruction: Instruction): number {
  const base = instruction.immediateLow & 0xff;
  if (base === 0) return cpu.fault(VECTOR.DE);
  const al = cpu.words[RAX * 2] & 0xff;
  cpu.setReg16(RAX, (Math.floor(al / base) << 8) | al % base);
  cpu.arithmeticFlags = resultFlags(al % base);
  return STATUS.next;
}

function aad(cpu: Processor, instruction: Instruction): number {
  const ax = cpu.reg16(RAX);
  const al = ((ax & 0xff) + (ax >> 8) * (instruction.immediateLow & 0xff)) & 0xff;
  cpu.setReg16(RAX, al);
  cpu.arithmeticFlags = resultFlags(al);
  return STATUS.next;
}

/** Not in the SDM; processors execute it: AL := CF ? FFH : 0. */
function salc(cpu: Processor): number {
  cpu.view.setUint8(RAX * 8, cpu.arithmeticFlags & RFLAGS.CF ? 0xff : 0);
  return STATUS.next;
}

export const BCD_MICROCODE: MicrocodeRoutines = { DAA: packed(1), DAS: packed(-1), AAA: unpacked(1), AAS: unpacked(-1), AAM: aam, AAD: aad, SALC: salc };
