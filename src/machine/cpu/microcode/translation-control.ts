// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { FS, SEGMENT, segmentOffset } from '../state.ts';
import { canonical, effectiveOffset, operandLinear } from './effective-address.ts';
import { signedAt } from './implicit-access.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** The linear address that an operand names, without a check: INVLPG faults for none. */
function namedLinear(cpu: Processor, instruction: Instruction): number {
  const { segment } = instruction.memory;
  const offset = effectiveOffset(cpu, instruction);
  if (cpu.code64) return segment >= FS ? offset + cpu.segmentBase(segment) : offset;
  return (offset + cpu.get32(segmentOffset(segment) + SEGMENT.base)) % 0x100000000;
}

function invlpg(cpu: Processor, instruction: Instruction): number {
  const linear = namedLinear(cpu, instruction);
  if (intercepted(cpu, instruction, 'INVLPG', { linear })) return INTERCEPTED;
  if (canonical(linear)) cpu.mmu.invalidatePage(linear);
  return STATUS.next;
}

/** See: SDM Vol. 2A, INVPCID—Invalidate Process-Context Identifier. */
const TYPE = { individual: 0, single: 1, allWithGlobals: 2, all: 3 } as const;

const descriptor = new Uint8Array(16);
const view = new DataView(descriptor.buffer);

function typeOf(cpu: Processor, instruction: Instruction): number {
  const { register, size } = instruction.operands[0];
  return size === 64 && cpu.words[register * 2 + 1] !== 0 ? -1 : cpu.reg32(register);
}

function invpcid(cpu: Processor, instruction: Instruction): number {
  if (intercepted(cpu, instruction, 'INVPCID')) return INTERCEPTED;
  const linear = operandLinear(cpu, instruction, 16, false);
  if (cpu.faulted) return STATUS.fault;
  const type = typeOf(cpu, instruction);
  if (type < 0 || type > TYPE.all) return cpu.generalProtection();
  if (!cpu.loadBytes(linear, descriptor)) return STATUS.fault;
  const pcid = view.getUint32(0, true);
  if (pcid > 0xfff || view.getUint32(4, true) !== 0) return cpu.generalProtection();
  if (type >= TYPE.allWithGlobals) {
    cpu.mmu.forgetAll();
    return STATUS.next;
  }
  if ((cpu.cr4 & CR4.PCIDE) === 0 && pcid !== 0) return cpu.generalProtection();
  if (type === TYPE.single) {
    cpu.mmu.forgetPcid(pcid);
    return STATUS.next;
  }
  const page = signedAt(view, 8);
  if (!canonical(page)) return cpu.generalProtection();
  cpu.mmu.invalidatePage(page);
  return STATUS.next;
}

function invd(cpu: Processor, instruction: Instruction): number {
  return intercepted(cpu, instruction, 'INVD') ? INTERCEPTED : STATUS.next;
}
function wbinvd(cpu: Processor, instruction: Instruction): number {
  return intercepted(cpu, instruction, 'WBINVD or WBNOINVD') ? INTERCEPTED : STATUS.next;
}

/** There are no caches to flush, but the line must be readable. */
function flushLine(cpu: Processor, instruction: Instruction): number {
  const linear = operandLinear(cpu, instruction, 1, false);
  if (cpu.faulted) return STATUS.fault;
  cpu.mmu.reach(linear, false, cpu.dataClass);
  return cpu.faulted ? STATUS.fault : STATUS.next;
}

export const TRANSLATION_CONTROL_MICROCODE: MicrocodeRoutines = {
  INVLPG: invlpg,
  INVPCID: invpcid,
  INVD: invd,
  WBINVD: wbinvd,
  WBNOINVD: wbinvd,
  CLFLUSH: flushLine,
  CLFLUSHOPT: flushLine,
  CLWB: flushLine,
};
