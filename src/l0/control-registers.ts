// SPDX-License-Identifier: Apache-2.0
// What L1 writes to CR0, CR3, CR4 and IA32_EFER, and what the hardware is given for it.

import {
  CR0_BITS,
  PDPTE_LOADING,
  PDPTE_RESERVED_LOW,
  cr0Failure,
  cr4Failure,
  cr4Writable,
  normalizedCr0,
} from '../arch/control-registers.ts';
import type { ControlContext } from '../arch/control-registers.ts';
import { ENTRY, PRIMARY } from '../arch/vmx/controls.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { AR_L, CR0_PE, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME } from '../arch/vmx/state-bits.ts';
import { UserError } from '../base/errors.ts';
import type { Vcpu } from './vcpu.ts';
import { leaveIdentityMap, useIdentityMap } from './unpaged.ts';
import { isSet, setBits, write32 } from './vmcs-access.ts';

const { GUEST_CR0, GUEST_CR3, GUEST_CR4, CR0_GUEST_HOST_MASK, CR4_GUEST_HOST_MASK, CR0_READ_SHADOW, CR4_READ_SHADOW } =
  OFFSET;
const {
  GUEST_IA32_EFER,
  GUEST_CS_AR_BYTES,
  GUEST_TR_AR_BYTES,
  GUEST_PDPTR0,
  VM_ENTRY_CONTROLS,
  CPU_BASED_VM_EXEC_CONTROL,
} = OFFSET;

const { PG, NE, WP, CD, NW } = CR0_BITS;
/** Fixed to 1 in VMX operation; and what VM entry does not load, so that the processor's own stay in force. */
const OWNED_CR0 = NE | CD | NW;
const CR4_VMXE = 1 << 13;
const CR4_PSE = 1 << 4;
const CR4_PGE = 1 << 7;
const CR4_SMEP = 1 << 20;
const CR4_SMAP = 1 << 21;
const EFER_NXE = 1 << 11;
/** 32-bit TSS or, in IA-32e mode, 64-bit TSS. */
const WIDE_TSS = 8;
/** What of CR4 changes the meaning of L0's identity map, or which format it has. */
const NOT_UNPAGED = CR4_PAE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;
/** Changing these makes translations stale. See: SDM 4.10.4.1 Operations that Invalidate TLBs and Paging-Structure Caches. */
const STALE = {
  cr0: PG | WP | CR0_PE,
  cr4: CR4_PGE | CR4_PSE | CR4_PAE | CR4_PCIDE | CR4_SMEP | CR4_SMAP,
  efer: EFER_NXE,
} as const;

/** Control registers as L1 sees them: bits 31:0 unsigned, CR3 in halves. */
export interface ControlRegisters {
  cr0: number;
  cr3Low: number;
  cr3High: number;
  cr4: number;
  efer: number;
}

export function controlRegisters(vcpu: Vcpu): ControlRegisters {
  const { processor, state } = vcpu;
  const unpaged = state.unpaged !== 0;
  return {
    cr0: vcpu.cr0,
    cr3Low: unpaged ? state.cr3Low : processor.readLow(GUEST_CR3),
    cr3High: unpaged ? state.cr3High : processor.readHigh(GUEST_CR3),
    cr4: vcpu.cr4,
    efer: vcpu.efer,
  };
}

/** The control registers by which the guest that runs finds its memory. What L2 is shown of its own is L1's affair. */
export function pagingRegisters(vcpu: Vcpu): ControlRegisters {
  const { processor, state, efer } = vcpu;
  if (state.level === 1) return controlRegisters(vcpu);
  return {
    cr0: processor.readLow(GUEST_CR0),
    cr3Low: processor.readLow(GUEST_CR3),
    cr3High: processor.readHigh(GUEST_CR3),
    cr4: processor.readLow(GUEST_CR4),
    efer,
  };
}

/** Makes the guest have these control registers; IA32_EFER.LMA is worked out. Nothing is checked. */
export function setControlRegisters(vcpu: Vcpu, wanted: ControlRegisters): void {
  const { processor, unrestricted } = vcpu;
  const before = controlRegisters(vcpu);
  const unpaged = !unrestricted && (wanted.cr0 & PG) === 0;
  if (!unrestricted && (wanted.cr0 & CR0_PE) === 0) throw realModeRefused(vcpu);
  const ia32e = (wanted.cr0 & PG) !== 0 && (wanted.efer & EFER_LME) !== 0;
  const efer = ia32e ? wanted.efer | EFER_LMA : wanted.efer & ~EFER_LMA;
  write32(processor, GUEST_CR0, wanted.cr0 | NE | (unpaged ? PG | CR0_PE : 0));
  write32(processor, CR0_READ_SHADOW, wanted.cr0);
  write32(processor, CR0_GUEST_HOST_MASK, unrestricted ? OWNED_CR0 : OWNED_CR0 | CR0_PE | PG);
  write32(processor, GUEST_CR4, (unpaged ? (wanted.cr4 & ~NOT_UNPAGED) | CR4_PSE : wanted.cr4) | CR4_VMXE);
  write32(processor, CR4_READ_SHADOW, wanted.cr4);
  write32(processor, CR4_GUEST_HOST_MASK, unpaged ? 0xffffffff : CR4_VMXE);
  setBits(processor, VM_ENTRY_CONTROLS, ENTRY.IA32E_MODE_GUEST, ia32e);
  setBits(processor, CPU_BASED_VM_EXEC_CONTROL, PRIMARY.CR3_LOAD_EXITING | PRIMARY.CR3_STORE_EXITING, unpaged);
  storeEfer(vcpu, efer, ia32e);
  if (unpaged) useIdentityMap(vcpu, wanted.cr3Low, wanted.cr3High);
  else {
    leaveIdentityMap(vcpu);
    processor.write(GUEST_CR3, wanted.cr3Low, wanted.cr3High);
  }
  const stale =
    ((before.cr0 ^ wanted.cr0) & STALE.cr0) |
    ((before.cr4 ^ wanted.cr4) & STALE.cr4) |
    ((before.efer ^ efer) & STALE.efer);
  if (stale !== 0) processor.invvpid(1, vcpu.index + 1, { low: 0, high: 0 });
}

function realModeRefused(vcpu: Vcpu): UserError {
  return new UserError(
    `Processor ${vcpu.index} of L1 enters real-address mode, which a processor without "unrestricted guest" cannot run`,
    'use the profile modern; with the profile paper, start L1 with one processor and a kernel that is entered in protected or 64-bit mode',
  );
}

/** Where the hardware takes IA32_EFER from at VM entry: a field, or the MSR-load list. Without paging there is no LME for it. */
function storeEfer(vcpu: Vcpu, efer: number, ia32e: boolean): void {
  const { processor, state, pages, machine } = vcpu;
  state.efer = efer;
  if (pages.msrList < 0) write32(processor, GUEST_IA32_EFER, efer);
  else machine.host.write32(pages.msrList + 8, ia32e ? efer : efer & ~EFER_LME);
}

function contextOf(vcpu: Vcpu, registers: ControlRegisters): ControlContext {
  const { processor } = vcpu;
  const lma = (registers.efer & EFER_LMA) !== 0;
  return {
    cr0: registers.cr0,
    cr4: registers.cr4,
    cr3: registers.cr3Low,
    lme: (registers.efer & EFER_LME) !== 0,
    lma,
    longCode: lma && isSet(processor, GUEST_CS_AR_BYTES, AR_L),
    tss16: !isSet(processor, GUEST_TR_AR_BYTES, WIDE_TSS),
  };
}

/** MOV to CR0, bits 31:0, with all checks and consequences; false: #GP(0). */
export function writeCr0(vcpu: Vcpu, value: number): boolean {
  const registers = controlRegisters(vcpu);
  const wanted = normalizedCr0(value) >>> 0;
  if (cr0Failure(wanted, contextOf(vcpu, registers)) !== undefined) return false;
  if (vcpu.machine.nested?.allowsControl(vcpu, 0, wanted) === false) return false;
  const loads = ((wanted ^ registers.cr0) & PDPTE_LOADING.cr0) !== 0;
  return change(vcpu, { ...registers, cr0: wanted }, loads);
}

/** MOV to CR4, bits 31:0; false: #GP(0). */
export function writeCr4(vcpu: Vcpu, value: number): boolean {
  const registers = controlRegisters(vcpu);
  const writable = cr4Writable(vcpu.machine.cpuid.features);
  if (cr4Failure(value, writable, contextOf(vcpu, registers)) !== undefined) return false;
  if (vcpu.machine.nested?.allowsControl(vcpu, 4, value >>> 0) === false) return false;
  const loads = ((value ^ registers.cr4) & PDPTE_LOADING.cr4) !== 0;
  return change(vcpu, { ...registers, cr4: value >>> 0 }, loads);
}

/** MOV to CR3, which exits only while L0's identity map stands in; false: #GP(0). */
export function writeCr3(vcpu: Vcpu, low: number, high: number): boolean {
  if (high >>> 0 >= 2 ** (vcpu.machine.cpuid.physicalAddressBits - 32)) return false;
  return change(vcpu, { ...controlRegisters(vcpu), cr3Low: low, cr3High: high }, false);
}

/** WRMSR of IA32_EFER with a value that its row allows; false: #GP(0). LME cannot change under paging. */
export function writeEfer(vcpu: Vcpu, value: number): boolean {
  const registers = controlRegisters(vcpu);
  if ((value ^ registers.efer) & EFER_LME && registers.cr0 & PG) return false;
  return change(vcpu, { ...registers, efer: value }, false);
}

/** `loads`: with PAE paging the page-directory pointers are loaded anew, and their reserved bits are checked. */
function change(vcpu: Vcpu, wanted: ControlRegisters, loads: boolean): boolean {
  const pae = (wanted.cr0 & PG) !== 0 && (wanted.cr4 & CR4_PAE) !== 0 && (wanted.efer & EFER_LME) === 0;
  const pdptes = pae && loads ? pageDirectoryPointers(vcpu, wanted.cr3Low) : undefined;
  if (pae && loads && pdptes === undefined) return false;
  setControlRegisters(vcpu, wanted);
  pdptes?.forEach(({ low, high }, i) => vcpu.processor.write(GUEST_PDPTR0 + 8 * i, low, high));
  return true;
}

/** The four entries at CR3, or undefined if one has a reserved bit set. See: SDM 4.4.1 PDPTE Registers. */
function pageDirectoryPointers(vcpu: Vcpu, cr3: number): { low: number; high: number }[] | undefined {
  const { memory, cpuid } = vcpu.machine;
  const table = (cr3 & ~0x1f) >>> 0;
  const reservedHigh = 2 ** (cpuid.physicalAddressBits - 32);
  const entries = [0, 1, 2, 3].map((i) => ({
    low: memory.read32(table + 8 * i),
    high: memory.read32(table + 8 * i + 4),
  }));
  const broken = entries.some(
    ({ low, high }) => (low & 1) !== 0 && ((low & PDPTE_RESERVED_LOW) !== 0 || high >= reservedHigh),
  );
  return broken ? undefined : entries;
}
