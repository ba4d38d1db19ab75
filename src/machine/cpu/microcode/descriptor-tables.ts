// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import { canonical, operandLinear } from './effective-address.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import { signedAt } from './implicit-access.ts';
import { prevented } from './machine-status-word.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

/** Offsets of base and limit of GDTR and IDTR. */
interface TableRegister {
  readonly base: number;
  readonly limit: number;
}
const GDTR: TableRegister = { base: STATE.gdtrBase, limit: STATE.gdtrLimit };
const IDTR: TableRegister = { base: STATE.idtrBase, limit: STATE.idtrLimit };

const bytes = new Uint8Array(10);
const view = new DataView(bytes.buffer);

/** The pseudo-descriptor: limit in 2 bytes, base in 8 of 64-bit code, else in 4. */
function pseudoDescriptor(cpu: Processor): Uint8Array {
  return cpu.code64 ? bytes : bytes.subarray(0, 6);
}

/** With a 16-bit operand size the base has 24 bits. */
function load(register: TableRegister): Microcode {
  return (cpu, instruction) => {
    if (intercepted(cpu, instruction, 'Access to GDTR or IDTR', { write: false })) return INTERCEPTED;
    const image = pseudoDescriptor(cpu);
    const linear = operandLinear(cpu, instruction, image.length, false);
    if (cpu.faulted || !cpu.loadBytes(linear, image)) return STATUS.fault;
    const base = cpu.code64 ? signedAt(view, 2) : view.getUint32(2, true);
    if (!canonical(base)) return cpu.generalProtection();
    cpu.setSigned(register.base, instruction.operandSize === 16 ? base & 0xffffff : base);
    cpu.set32(register.limit, view.getUint16(0, true));
    return STATUS.next;
  };
}

/** All bits of the base are stored, whatever the operand size. */
function store(register: TableRegister): Microcode {
  return (cpu: Processor, instruction: Instruction) => {
    if (prevented(cpu)) return cpu.generalProtection();
    if (intercepted(cpu, instruction, 'Access to GDTR or IDTR', { write: true })) return INTERCEPTED;
    const image = pseudoDescriptor(cpu);
    const linear = operandLinear(cpu, instruction, image.length, true);
    if (cpu.faulted) return STATUS.fault;
    view.setUint16(0, cpu.get32(register.limit), true);
    view.setBigUint64(2, cpu.get64(register.base), true);
    if (!cpu.probeWrite(linear, image.length)) return STATUS.fault;
    return cpu.storeBytes(linear, image) ? STATUS.next : STATUS.fault;
  };
}

export const DESCRIPTOR_TABLE_MICROCODE: MicrocodeRoutines = {
  LGDT: load(GDTR),
  LIDT: load(IDTR),
  SGDT: store(GDTR),
  SIDT: store(IDTR),
};
