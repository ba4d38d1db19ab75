// SPDX-License-Identifier: Apache-2.0
import { compose } from '../../arch/vmx/bit-field.ts';
import { PRIMARY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { CR_ACCESS, CR_ACCESS_TYPE } from '../../arch/vmx/qualifications.ts';
import type { Instruction } from '../../decode/instruction.ts';
import type { InterceptDetails } from '../cpu/environment.ts';
import { cltsExits, lmswExits, writeExits } from './control-registers.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { CR3_TARGET_COUNT, CR3_TARGET_VALUE0 } = OFFSET;

/**
 * Whether MOV to or from CR, CLTS or LMSW exits. Leaves the qualification that the exit would have in
 * `unit.controlRegisterQualification`.
 */
export function controlRegisterExit(unit: VmxUnit, instruction: Instruction, details: InterceptDetails): boolean {
  const { controls } = unit;
  const number = details.number ?? 0;
  if (instruction.opcode.mnemonic === 'CLTS') {
    unit.controlRegisterQualification = compose(CR_ACCESS, { ACCESS_TYPE: CR_ACCESS_TYPE.clts });
    return cltsExits(controls);
  }
  if (instruction.opcode.mnemonic === 'LMSW') return lmsw(unit, details);
  const type = details.write === true ? CR_ACCESS_TYPE.movTo : CR_ACCESS_TYPE.movFrom;
  unit.controlRegisterQualification = compose(CR_ACCESS, {
    NUMBER: number,
    ACCESS_TYPE: type,
    REGISTER: details.register ?? 0,
  });
  return details.write === true ? moveTo(unit, number, details.value ?? 0n) : moveFrom(unit, number);
}

function lmsw(unit: VmxUnit, details: InterceptDetails): boolean {
  const source = Number(details.value ?? 0n);
  const memory = details.linear === undefined ? 0 : 1;
  unit.controlRegisterQualification = compose(CR_ACCESS, {
    ACCESS_TYPE: CR_ACCESS_TYPE.lmsw,
    LMSW_OPERAND_TYPE: memory,
    LMSW_SOURCE: source,
  });
  return lmswExits(unit.controls, source);
}

function moveTo(unit: VmxUnit, number: number, value: bigint): boolean {
  const { controls } = unit;
  if (number === 0 || number === 4) return writeExits(controls, number, Number(value & 0xffffffffn));
  if (number === 3) return controls.has(PRIMARY.CR3_LOAD_EXITING) && !isTarget(unit, value);
  return number === 8 && controls.has(PRIMARY.CR8_LOAD_EXITING);
}

function moveFrom(unit: VmxUnit, number: number): boolean {
  const { controls } = unit;
  if (number === 3) return controls.has(PRIMARY.CR3_STORE_EXITING);
  return number === 8 && controls.has(PRIMARY.CR8_STORE_EXITING);
}

/** See: SDM 25.6.7 CR3-Target Controls */
function isTarget(unit: VmxUnit, value: bigint): boolean {
  const { vmcs } = unit;
  const count = vmcs.low(CR3_TARGET_COUNT);
  for (let i = 0; i < count; i++) {
    const field = CR3_TARGET_VALUE0 + 8 * i;
    if (vmcs.low(field) === Number(value & 0xffffffffn) && vmcs.high(field) === Number(value >> 32n)) return true;
  }
  return false;
}
