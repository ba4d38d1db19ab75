// SPDX-License-Identifier: Apache-2.0
// VM-entry rules for guest control registers, debug registers, MSRs, descriptor tables, RIP and RFLAGS.
// A broken rule is an exit with reason 33.

import { CR0_PE, CR0_PG, CR0_WP, CR4_CET, CR4_PAE, CR4_PCIDE } from './state-bits.ts';
import { EFER_LMA, EFER_LME, RFLAGS_IF, RFLAGS_VM, AR_L, validSupervisorCet } from './state-bits.ts';
import { ENTRY } from './controls.ts';
import {
  SECONDARY_READS,
  canonical,
  entryHas,
  group,
  hasOnly,
  ia32eGuest,
  injectedType,
  rule,
  unrestricted,
  validPat,
  withinPhysicalWidth,
} from './entry-check-row.ts';
import type { EntryCheckGroup, RuleDraft } from './entry-check-row.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import { SECTION } from './sections.ts';
import type { VmcsView } from './vmcs-view.ts';

const { GUEST_CR0, GUEST_CR3, GUEST_CR4, GUEST_DR7, GUEST_RIP, GUEST_RFLAGS, GUEST_SSP, GUEST_S_CET } = OFFSET;
const { GUEST_IA32_DEBUGCTL, GUEST_IA32_PAT, GUEST_IA32_EFER, GUEST_IA32_PERF_GLOBAL_CTRL } = OFFSET;
const { GUEST_BNDCFGS, GUEST_IA32_PKRS, GUEST_UINV, GUEST_CS_AR_BYTES } = OFFSET;
const { GUEST_GDTR_LIMIT, GUEST_IDTR_LIMIT } = OFFSET;

function canonicalRule(id: string, field: FieldName, what: string): RuleDraft {
  const offset = OFFSET[field];
  return rule(id, `${what} is canonical`, [field], (v) => canonical(v, offset));
}

const ENTRY_CONTROLS: readonly FieldName[] = ['VM_ENTRY_CONTROLS'];
const loads = (v: VmcsView, control: keyof typeof ENTRY): boolean => entryHas(v, ENTRY[control]);
/** With "unrestricted guest", CR0.PE and CR0.PG may be 0. */
const RELAXED_CR0 = (CR0_PE | CR0_PG) >>> 0;

// prettier-ignore
const registers: RuleDraft[] = [
  rule('guest.cr0.must-be-1', 'bits of CR0 that VMX operation fixes to 1 are 1 (PE and PG need not be with "unrestricted guest")', ['GUEST_CR0', ...SECONDARY_READS],
    (v, c) => (~v.low(GUEST_CR0) & c.facts.cr0Fixed0 & (unrestricted(v) ? ~RELAXED_CR0 : -1)) === 0),
  rule('guest.cr0.must-be-0', 'bits of CR0 that VMX operation fixes to 0 are 0', ['GUEST_CR0'],
    (v, c) => hasOnly(v, GUEST_CR0, c.facts.cr0Fixed1, 0)),
  rule('guest.cr0.pg-pe', 'CR0.PE is 1 if CR0.PG is 1', ['GUEST_CR0'],
    (v) => (v.low(GUEST_CR0) & CR0_PG) === 0 || (v.low(GUEST_CR0) & CR0_PE) !== 0),
  rule('guest.cr4.must-be-1', 'bits of CR4 that VMX operation fixes to 1 are 1', ['GUEST_CR4'],
    (v, c) => (~v.low(GUEST_CR4) & c.facts.cr4Fixed0) === 0),
  rule('guest.cr4.must-be-0', 'bits of CR4 that VMX operation fixes to 0 are 0', ['GUEST_CR4'],
    (v, c) => hasOnly(v, GUEST_CR4, c.facts.cr4Fixed1, 0)),
  rule('guest.cr4.cet', 'CR0.WP is 1 if CR4.CET is 1', ['GUEST_CR0', 'GUEST_CR4'],
    (v) => (v.low(GUEST_CR4) & CR4_CET) === 0 || (v.low(GUEST_CR0) & CR0_WP) !== 0),
  rule('guest.debugctl', 'with "load debug controls", reserved bits of IA32_DEBUGCTL are 0', [...ENTRY_CONTROLS, 'GUEST_IA32_DEBUGCTL'],
    (v, c) => !loads(v, 'LOAD_DEBUG_CONTROLS') || hasOnly(v, GUEST_IA32_DEBUGCTL, c.facts.debugctlSupported, 0)),
  rule('guest.ia32e.pg', 'with "IA-32e mode guest", CR0.PG is 1', [...ENTRY_CONTROLS, 'GUEST_CR0'],
    (v) => !ia32eGuest(v) || (v.low(GUEST_CR0) & CR0_PG) !== 0),
  rule('guest.ia32e.pae', 'with "IA-32e mode guest", CR4.PAE is 1', [...ENTRY_CONTROLS, 'GUEST_CR4'],
    (v) => !ia32eGuest(v) || (v.low(GUEST_CR4) & CR4_PAE) !== 0),
  rule('guest.cr4.pcide', 'without "IA-32e mode guest", CR4.PCIDE is 0', [...ENTRY_CONTROLS, 'GUEST_CR4'],
    (v) => ia32eGuest(v) || (v.low(GUEST_CR4) & CR4_PCIDE) === 0),
  rule('guest.cr3.width', 'CR3 lies within the physical-address width', ['GUEST_CR3'],
    (v, c) => withinPhysicalWidth(v, GUEST_CR3, c)),
  rule('guest.dr7', 'with "load debug controls", bits 63:32 of DR7 are 0', [...ENTRY_CONTROLS, 'GUEST_DR7'],
    (v) => !loads(v, 'LOAD_DEBUG_CONTROLS') || v.high(GUEST_DR7) === 0),
  canonicalRule('guest.sysenter-esp', 'GUEST_SYSENTER_ESP', 'IA32_SYSENTER_ESP'),
  canonicalRule('guest.sysenter-eip', 'GUEST_SYSENTER_EIP', 'IA32_SYSENTER_EIP'),
  rule('guest.s-cet', 'with "load CET state", IA32_S_CET sets no reserved bit, is canonical and does not both suppress and track', [...ENTRY_CONTROLS, 'GUEST_S_CET'],
    (v) => !loads(v, 'LOAD_CET_STATE') || (canonical(v, GUEST_S_CET) && validSupervisorCet(v.low(GUEST_S_CET)))),
  rule('guest.interrupt-ssp-table', 'with "load CET state", IA32_INTERRUPT_SSP_TABLE_ADDR is canonical', [...ENTRY_CONTROLS, 'GUEST_INTR_SSP_TABLE'],
    (v) => !loads(v, 'LOAD_CET_STATE') || canonical(v, OFFSET.GUEST_INTR_SSP_TABLE)),
  rule('guest.perf-global-ctrl', 'with "load IA32_PERF_GLOBAL_CTRL", its reserved bits are 0', [...ENTRY_CONTROLS, 'GUEST_IA32_PERF_GLOBAL_CTRL'],
    (v, c) => !loads(v, 'LOAD_IA32_PERF_GLOBAL_CTRL') || hasOnly(v, GUEST_IA32_PERF_GLOBAL_CTRL, c.facts.perfGlobalCtrlSupported.low, c.facts.perfGlobalCtrlSupported.high)),
  rule('guest.pat', 'with "load IA32_PAT", each byte of IA32_PAT is a memory type: 0, 1, 4, 5, 6 or 7', [...ENTRY_CONTROLS, 'GUEST_IA32_PAT'],
    (v) => !loads(v, 'LOAD_IA32_PAT') || validPat(v, GUEST_IA32_PAT)),
  rule('guest.efer.reserved', 'with "load IA32_EFER", its reserved bits are 0', [...ENTRY_CONTROLS, 'GUEST_IA32_EFER'],
    (v, c) => !loads(v, 'LOAD_IA32_EFER') || hasOnly(v, GUEST_IA32_EFER, c.facts.eferSupported, 0)),
  rule('guest.efer.lma', 'with "load IA32_EFER", IA32_EFER.LMA equals "IA-32e mode guest"', [...ENTRY_CONTROLS, 'GUEST_IA32_EFER'],
    (v) => !loads(v, 'LOAD_IA32_EFER') || ((v.low(GUEST_IA32_EFER) & EFER_LMA) !== 0) === ia32eGuest(v)),
  rule('guest.efer.lme', 'with "load IA32_EFER" and CR0.PG, IA32_EFER.LME equals IA32_EFER.LMA', [...ENTRY_CONTROLS, 'GUEST_IA32_EFER', 'GUEST_CR0'],
    (v) => !loads(v, 'LOAD_IA32_EFER') || (v.low(GUEST_CR0) & CR0_PG) === 0
      || ((v.low(GUEST_IA32_EFER) & EFER_LMA) !== 0) === ((v.low(GUEST_IA32_EFER) & EFER_LME) !== 0)),
  rule('guest.bndcfgs.reserved', 'with "load IA32_BNDCFGS", bits 11:2 are 0', [...ENTRY_CONTROLS, 'GUEST_BNDCFGS'],
    (v) => !loads(v, 'LOAD_IA32_BNDCFGS') || (v.low(GUEST_BNDCFGS) & 0xffc) === 0),
  rule('guest.bndcfgs.canonical', 'with "load IA32_BNDCFGS", the linear address in bits 63:12 is canonical', [...ENTRY_CONTROLS, 'GUEST_BNDCFGS'],
    (v) => !loads(v, 'LOAD_IA32_BNDCFGS') || canonical(v, GUEST_BNDCFGS)),
  rule('guest.uinv', 'with "load UINV", bits 15:8 of the guest UINV field are 0', [...ENTRY_CONTROLS, 'GUEST_UINV'],
    (v) => !loads(v, 'LOAD_UINV') || v.low(GUEST_UINV) <= 0xff),
  rule('guest.pkrs', 'with "load PKRS", bits 63:32 of IA32_PKRS are 0', [...ENTRY_CONTROLS, 'GUEST_IA32_PKRS'],
    (v) => !loads(v, 'LOAD_PKRS') || v.high(GUEST_IA32_PKRS) === 0),
];

// prettier-ignore
const tables: RuleDraft[] = [
  canonicalRule('guest.gdtr.base', 'GUEST_GDTR_BASE', 'the GDTR base'),
  canonicalRule('guest.idtr.base', 'GUEST_IDTR_BASE', 'the IDTR base'),
  rule('guest.gdtr.limit', 'bits 31:16 of the GDTR limit are 0', ['GUEST_GDTR_LIMIT'], (v) => v.low(GUEST_GDTR_LIMIT) <= 0xffff),
  rule('guest.idtr.limit', 'bits 31:16 of the IDTR limit are 0', ['GUEST_IDTR_LIMIT'], (v) => v.low(GUEST_IDTR_LIMIT) <= 0xffff),
];

const RIP_READS: readonly FieldName[] = ['VM_ENTRY_CONTROLS', 'GUEST_CS_AR_BYTES', 'GUEST_RIP'];
const SSP_READS: readonly FieldName[] = ['VM_ENTRY_CONTROLS', 'GUEST_CS_AR_BYTES', 'GUEST_SSP'];
const in64BitMode = (v: VmcsView): boolean => ia32eGuest(v) && (v.low(GUEST_CS_AR_BYTES) & AR_L) !== 0;

/** Bits 63:48 are equal. Bit 47 does not count: a guest may stop just past the end of the canonical space. */
function highBitsEqual(v: VmcsView, offset: number): boolean {
  const top = v.high(offset) >>> 16;
  return top === 0 || top === 0xffff;
}

// prettier-ignore
const rip: RuleDraft[] = [
  rule('guest.rip.high', 'outside 64-bit mode ("IA-32e mode guest" with CS.L), bits 63:32 of RIP are 0', RIP_READS,
    (v) => in64BitMode(v) || v.high(GUEST_RIP) === 0),
  rule('guest.rip.identical', 'in 64-bit mode, bits of RIP beyond the linear-address width (63:48) are equal', RIP_READS,
    (v) => !in64BitMode(v) || highBitsEqual(v, GUEST_RIP)),
  rule('guest.rflags.reserved', 'bits 63:22, 15, 5 and 3 of RFLAGS are 0', ['GUEST_RFLAGS'],
    (v) => hasOnly(v, GUEST_RFLAGS, 0x003f7fd7, 0)),
  rule('guest.rflags.bit1', 'bit 1 of RFLAGS is 1', ['GUEST_RFLAGS'],
    (v) => (v.low(GUEST_RFLAGS) & 2) !== 0),
  rule('guest.rflags.vm-ia32e', 'with "IA-32e mode guest", RFLAGS.VM is 0', ['VM_ENTRY_CONTROLS', 'GUEST_RFLAGS'],
    (v) => !ia32eGuest(v) || (v.low(GUEST_RFLAGS) & RFLAGS_VM) === 0),
  rule('guest.rflags.vm-real', 'RFLAGS.VM is 0 if CR0.PE is 0', ['GUEST_CR0', 'GUEST_RFLAGS'],
    (v) => (v.low(GUEST_CR0) & CR0_PE) !== 0 || (v.low(GUEST_RFLAGS) & RFLAGS_VM) === 0),
  rule('guest.rflags.if', 'RFLAGS.IF is 1 if an external interrupt is injected', ['VM_ENTRY_INTR_INFO_FIELD', 'GUEST_RFLAGS'],
    (v) => injectedType(v) !== 0 || (v.low(GUEST_RFLAGS) & RFLAGS_IF) !== 0),
  rule('guest.ssp.aligned', 'with "load CET state", bits 1:0 of SSP are 0', ['VM_ENTRY_CONTROLS', 'GUEST_SSP'],
    (v) => !loads(v, 'LOAD_CET_STATE') || (v.low(GUEST_SSP) & 3) === 0),
  rule('guest.ssp.high', 'with "load CET state", outside 64-bit mode, bits 63:32 of SSP are 0', SSP_READS,
    (v) => !loads(v, 'LOAD_CET_STATE') || in64BitMode(v) || v.high(GUEST_SSP) === 0),
  rule('guest.ssp.identical', 'with "load CET state", in 64-bit mode, bits 63:48 of SSP are equal', SSP_READS,
    (v) => !loads(v, 'LOAD_CET_STATE') || !in64BitMode(v) || highBitsEqual(v, GUEST_SSP)),
];

export const GUEST_REGISTER_CHECKS: readonly EntryCheckGroup[] = [
  group('guest-registers', 'guest', SECTION.guestRegisters, registers, { again: 'saved' }),
];

export const GUEST_TABLE_CHECKS: readonly EntryCheckGroup[] = [
  group('descriptor-tables', 'guest', SECTION.guestTables, tables),
  group('rip-rflags', 'guest', SECTION.guestRip, rip, { again: 'saved' }),
];
