// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../../arch/vmx/fields.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { CR_ACCESS, CR_ACCESS_TYPE } from '../../arch/vmx/qualifications.ts';
import { assert } from '../../base/assert.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { controlRegisters, writeCr0, writeCr3, writeCr4 } from '../control-registers.ts';
import type { Vcpu } from '../vcpu.ts';

const { EXIT_QUALIFICATION } = OFFSET;
const GENERAL_PROTECTION = 13;
const CR0_TS = 8;
/** LMSW sets PE, MP, EM and TS, and cannot clear PE. */
const LMSW_BITS = 0xf;
const CR0_PE = 1;

/** MOV to and from control registers, CLTS, LMSW, where the masks and the controls make them exit. */
export function controlRegisterAccess(vcpu: Vcpu): void {
  const qualification = vcpu.processor.readLow(EXIT_QUALIFICATION);
  const number = extract(CR_ACCESS.NUMBER, qualification);
  const register = extract(CR_ACCESS.REGISTER, qualification);
  const type = extract(CR_ACCESS.ACCESS_TYPE, qualification);
  if (type === CR_ACCESS_TYPE.movFrom) return moveFrom(vcpu, number, register);
  if (write(vcpu, type, number, register, qualification)) vcpu.completeInstruction();
  else vcpu.raise(GENERAL_PROTECTION, 0);
}

/** False: #GP(0). */
function write(vcpu: Vcpu, type: number, number: number, register: number, qualification: number): boolean {
  const { cr0 } = vcpu;
  if (type === CR_ACCESS_TYPE.clts) return writeCr0(vcpu, cr0 & ~CR0_TS);
  if (type === CR_ACCESS_TYPE.lmsw) {
    const source = extract(CR_ACCESS.LMSW_SOURCE, qualification) & LMSW_BITS;
    return writeCr0(vcpu, (cr0 & ~LMSW_BITS) | source | (cr0 & CR0_PE));
  }
  const value: Halves = { low: 0, high: 0 };
  vcpu.readGeneral(register, value);
  return moveTo(vcpu, number, value.low, vcpu.code64 ? value.high : 0);
}

function moveTo(vcpu: Vcpu, number: number, low: number, high: number): boolean {
  if (number === 3) return writeCr3(vcpu, low, high);
  if (high !== 0) return false;
  if (number === 0) return writeCr0(vcpu, low);
  if (number === 4) return writeCr4(vcpu, low);
  assert(number === 8, `CR${number} does not exit`);
  if (low > 0xf) return false;
  vcpu.localApic.cr8 = low;
  return true;
}

/** Only CR3 (while L0's identity map stands in) and CR8 exit when they are read. */
function moveFrom(vcpu: Vcpu, number: number, register: number): void {
  if (number === 8) vcpu.writeLow(register, vcpu.localApic.cr8);
  else {
    assert(number === 3, `reading CR${number} does not exit`);
    const { cr3Low, cr3High } = controlRegisters(vcpu);
    vcpu.writeGeneral(register, cr3Low, vcpu.code64 ? cr3High : 0);
  }
  vcpu.completeInstruction();
}
