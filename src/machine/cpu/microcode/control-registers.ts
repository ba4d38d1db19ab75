// SPDX-License-Identifier: Apache-2.0
import { PDPTE_LOADING, cr0Failure, cr4Failure, cr4Writable, normalizedCr0 } from '../../../arch/control-registers.ts';
import type { ControlContext } from '../../../arch/control-registers.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { PHYSICAL_ADDRESS_BITS } from '../../mmu/walk.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR0, CR4, EFER } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { CS, STATE, TR } from '../state.ts';
import { INTERCEPTED, intercepted } from './intercept.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { loadPdptes, paePaging } from './pdpte.ts';

const LONG_CODE = 0x2000;
const WIDE_TSS = 8;
const CR3_RESERVED_HIGH = -(2 ** (PHYSICAL_ADDRESS_BITS - 32)) | 0;
const NO_FLUSH = 0x80000000 | 0;

function contextOf(cpu: Processor): ControlContext {
  const { cr0, cr4, efer } = cpu;
  return {
    cr0,
    cr4,
    cr3: cpu.words[STATE.cr3 >> 2],
    lme: (efer & EFER.LME) !== 0,
    lma: cpu.longMode,
    longCode: cpu.longMode && (cpu.accessRights(CS) & LONG_CODE) !== 0,
    tss16: (cpu.accessRights(TR) & WIDE_TSS) === 0,
  };
}

/** What non-root operation shows of a control register, and lets it change. */
export function shownControl(cpu: Processor, register: 0 | 4): number {
  const value = cpu.get32(register === 0 ? STATE.cr0 : STATE.cr4);
  const { vmx } = cpu.environment;
  return vmx !== undefined && cpu.words[STATE.nonRoot >> 2] !== 0
    ? vmx.shownControl(cpu, register, value) >>> 0
    : value;
}

function writtenControl(cpu: Processor, register: 0 | 4, value: number): number {
  const { vmx } = cpu.environment;
  return vmx !== undefined && cpu.words[STATE.nonRoot >> 2] !== 0
    ? vmx.writtenControl(cpu, register, value >>> 0)
    : value;
}

/** Writes CR0 (bits 31:0) with all checks and consequences; STATUS.next, or STATUS.fault with #GP recorded. */
export function writeCr0(cpu: Processor, wanted: number): number {
  const value = normalizedCr0(writtenControl(cpu, 0, wanted));
  const { vmx } = cpu.environment;
  if (cr0Failure(value, contextOf(cpu)) !== undefined || vmx?.controlAllowed(cpu, 0, value >>> 0) === false)
    return cpu.generalProtection();
  const changed = value ^ cpu.cr0;
  const pae = paePaging(value, cpu.cr4, cpu.efer);
  if (pae && changed & PDPTE_LOADING.cr0 && !loadPdptes(cpu, cpu.words[STATE.cr3 >> 2])) return STATUS.fault;
  cpu.set64(STATE.cr0, BigInt(value >>> 0));
  if (changed & CR0.PG) {
    const active = (value & CR0.PG) !== 0 && (cpu.efer & EFER.LME) !== 0;
    cpu.words[STATE.efer >> 2] = active ? cpu.efer | EFER.LMA : cpu.efer & ~EFER.LMA;
    cpu.mmu.forgetAll();
  }
  if (changed & (CR0.PG | CR0.WP)) cpu.mmu.pagingChanged();
  cpu.modeChanged();
  return STATUS.next;
}

/** Writes CR4 (bits 31:0) likewise. */
export function writeCr4(cpu: Processor, wanted: number): number {
  const value = writtenControl(cpu, 4, wanted) | 0;
  const { vmx, cpuid } = cpu.environment;
  const failure = cr4Failure(value, cr4Writable(cpuid.features), contextOf(cpu));
  if (failure !== undefined || vmx?.controlAllowed(cpu, 4, value >>> 0) === false) return cpu.generalProtection();
  const changed = value ^ cpu.cr4;
  const pae = paePaging(cpu.cr0, value, cpu.efer);
  if (pae && changed & PDPTE_LOADING.cr4 && !loadPdptes(cpu, cpu.words[STATE.cr3 >> 2])) return STATUS.fault;
  cpu.set64(STATE.cr4, BigInt(value >>> 0));
  // See: SDM 4.10.4.1 Operations that Invalidate TLBs and Paging-Structure Caches.
  if (changed & (CR4.PGE | CR4.PAE | CR4.PSE | CR4.PCIDE | CR4.SMEP)) cpu.mmu.forgetAll();
  cpu.mmu.pagingChanged();
  cpu.modeChanged();
  return STATUS.next;
}

/** Writes CR3 from halves; bit 63 keeps translations when CR4.PCIDE = 1. */
export function writeCr3(cpu: Processor, low: number, high: number): number {
  const tagged = (cpu.cr4 & CR4.PCIDE) !== 0;
  if (high & CR3_RESERVED_HIGH & (tagged ? ~NO_FLUSH : -1)) return cpu.generalProtection();
  if (paePaging(cpu.cr0, cpu.cr4, cpu.efer) && !loadPdptes(cpu, low)) return STATUS.fault;
  cpu.words[STATE.cr3 >> 2] = low;
  cpu.words[(STATE.cr3 >> 2) + 1] = high & ~NO_FLUSH;
  cpu.mmu.pagingChanged();
  if (!tagged || (high & NO_FLUSH) === 0) cpu.mmu.forgetPcid(cpu.mmu.currentPcid);
  return STATUS.next;
}

function writeCr8(cpu: Processor, low: number, high: number): number {
  if (high !== 0 || low & ~0xf) return cpu.generalProtection();
  const { vmx, localApic } = cpu.environment;
  const shadowed = cpu.words[STATE.nonRoot >> 2] !== 0 && vmx?.writeTaskPriority(cpu, low) === true;
  if (!shadowed) localApic.cr8 = low;
  return STATUS.next;
}

function readCr8(cpu: Processor): number {
  const { vmx, localApic } = cpu.environment;
  const shadow = cpu.words[STATE.nonRoot >> 2] !== 0 ? vmx?.readTaskPriority(cpu) : undefined;
  return shadow ?? localApic.cr8;
}

/** MOV to CR0, CR2, CR3, CR4, CR8. */
function moveTo(cpu: Processor, instruction: Instruction): number {
  const { register: number } = instruction.operands[0];
  const { register, size } = instruction.operands[1];
  const low = cpu.words[register * 2];
  const high = size === 64 ? cpu.words[register * 2 + 1] : 0;
  const value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  if (intercepted(cpu, instruction, 'Control-register accesses', { number, register, write: true, value }))
    return INTERCEPTED;
  if (number === 3) return writeCr3(cpu, low, high);
  if (number === 8) return writeCr8(cpu, low, high);
  if (number === 2) {
    cpu.set64(STATE.cr2, value);
    return STATUS.next;
  }
  if (high !== 0) return cpu.generalProtection();
  return number === 0 ? writeCr0(cpu, low) : writeCr4(cpu, low);
}

function valueOf(cpu: Processor, number: number): bigint {
  if (number === 2) return cpu.get64(STATE.cr2);
  if (number === 3) return cpu.get64(STATE.cr3);
  if (number === 8) return BigInt(readCr8(cpu));
  return BigInt(shownControl(cpu, number === 0 ? 0 : 4));
}

function moveFrom(cpu: Processor, instruction: Instruction): number {
  const { register, size } = instruction.operands[0];
  const { register: number } = instruction.operands[1];
  if (intercepted(cpu, instruction, 'Control-register accesses', { number, register, write: false }))
    return INTERCEPTED;
  const value = valueOf(cpu, number);
  cpu.setReg64(register, size === 64 ? value : value & 0xffffffffn);
  return STATUS.next;
}

function clearTaskSwitched(cpu: Processor, instruction: Instruction): number {
  if (intercepted(cpu, instruction, 'Control-register accesses', { number: 0, write: true })) return INTERCEPTED;
  return writeCr0(cpu, shownControl(cpu, 0) & ~CR0.TS);
}

export const CONTROL_REGISTER_MICROCODE: MicrocodeRoutines = {
  'MOV Cy Ry': moveTo,
  'MOV Ry Cy': moveFrom,
  CLTS: clearTaskSwitched,
};
