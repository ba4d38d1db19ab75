// SPDX-License-Identifier: Apache-2.0
// VM-entry rules for the host-state area and for address-space size. A broken rule is VMfailValid 8.

import { ENTRY, EXIT } from './controls.ts';
import {
  canonical,
  entryHas,
  exitHas,
  group,
  hasOnly,
  host64,
  ia32eGuest,
  rule,
  validPat,
  withinPhysicalWidth,
} from './entry-check-row.ts';
import type { EntryCheckGroup, RuleDraft } from './entry-check-row.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import { SECTION } from './sections.ts';
import { CR0_WP, CR4_CET, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME, validSupervisorCet } from './state-bits.ts';

const { HOST_CR0, HOST_CR3, HOST_CR4, HOST_RIP, HOST_SSP, HOST_S_CET, HOST_IA32_PKRS } = OFFSET;
const { HOST_IA32_PAT, HOST_IA32_EFER, HOST_IA32_PERF_GLOBAL_CTRL } = OFFSET;
const { HOST_CS_SELECTOR, HOST_SS_SELECTOR, HOST_TR_SELECTOR } = OFFSET;

function canonicalRule(id: string, field: FieldName, what: string): RuleDraft {
  const offset = OFFSET[field];
  return rule(id, `${what} is canonical`, [field], (v) => canonical(v, offset));
}

const loadsEfer: readonly FieldName[] = ['VM_EXIT_CONTROLS', 'HOST_IA32_EFER'];

// prettier-ignore
const registers: RuleDraft[] = [
  rule('host.cr0.must-be-1', 'bits of CR0 that VMX operation fixes to 1 are 1', ['HOST_CR0'],
    (v, c) => (~v.low(HOST_CR0) & c.facts.cr0Fixed0) === 0),
  rule('host.cr0.must-be-0', 'bits of CR0 that VMX operation fixes to 0 are 0', ['HOST_CR0'],
    (v, c) => hasOnly(v, HOST_CR0, c.facts.cr0Fixed1, 0)),
  rule('host.cr4.must-be-1', 'bits of CR4 that VMX operation fixes to 1 are 1', ['HOST_CR4'],
    (v, c) => (~v.low(HOST_CR4) & c.facts.cr4Fixed0) === 0),
  rule('host.cr4.must-be-0', 'bits of CR4 that VMX operation fixes to 0 are 0', ['HOST_CR4'],
    (v, c) => hasOnly(v, HOST_CR4, c.facts.cr4Fixed1, 0)),
  rule('host.cr4.cet', 'CR4.CET is 1 only if CR0.WP is 1', ['HOST_CR0', 'HOST_CR4'],
    (v) => (v.low(HOST_CR4) & CR4_CET) === 0 || (v.low(HOST_CR0) & CR0_WP) !== 0),
  rule('host.cr3.width', 'CR3 lies within the physical-address width', ['HOST_CR3'],
    (v, c) => withinPhysicalWidth(v, HOST_CR3, c)),
  canonicalRule('host.sysenter-esp', 'HOST_IA32_SYSENTER_ESP', 'IA32_SYSENTER_ESP'),
  canonicalRule('host.sysenter-eip', 'HOST_IA32_SYSENTER_EIP', 'IA32_SYSENTER_EIP'),
  rule('host.s-cet', 'with "load CET state", IA32_S_CET sets no reserved bit, is canonical and does not both suppress and track', ['VM_EXIT_CONTROLS', 'HOST_S_CET'],
    (v) => !exitHas(v, EXIT.LOAD_CET_STATE) || (canonical(v, HOST_S_CET) && validSupervisorCet(v.low(HOST_S_CET)))),
  rule('host.interrupt-ssp-table', 'with "load CET state", IA32_INTERRUPT_SSP_TABLE_ADDR is canonical', ['VM_EXIT_CONTROLS', 'HOST_INTR_SSP_TABLE'],
    (v) => !exitHas(v, EXIT.LOAD_CET_STATE) || canonical(v, OFFSET.HOST_INTR_SSP_TABLE)),
  rule('host.perf-global-ctrl', 'with "load IA32_PERF_GLOBAL_CTRL", its reserved bits are 0', ['VM_EXIT_CONTROLS', 'HOST_IA32_PERF_GLOBAL_CTRL'],
    (v, c) => !exitHas(v, EXIT.LOAD_IA32_PERF_GLOBAL_CTRL) || hasOnly(v, HOST_IA32_PERF_GLOBAL_CTRL, c.facts.perfGlobalCtrlSupported.low, c.facts.perfGlobalCtrlSupported.high)),
  rule('host.pat', 'with "load IA32_PAT", each byte of IA32_PAT is a memory type: 0, 1, 4, 5, 6 or 7', ['VM_EXIT_CONTROLS', 'HOST_IA32_PAT'],
    (v) => !exitHas(v, EXIT.LOAD_IA32_PAT) || validPat(v, HOST_IA32_PAT)),
  rule('host.efer.reserved', 'with "load IA32_EFER", its reserved bits are 0', loadsEfer,
    (v, c) => !exitHas(v, EXIT.LOAD_IA32_EFER) || hasOnly(v, HOST_IA32_EFER, c.facts.eferSupported, 0)),
  rule('host.efer.lma', 'with "load IA32_EFER", IA32_EFER.LMA equals "host address-space size"', loadsEfer,
    (v) => !exitHas(v, EXIT.LOAD_IA32_EFER) || ((v.low(HOST_IA32_EFER) & EFER_LMA) !== 0) === host64(v)),
  rule('host.efer.lme', 'with "load IA32_EFER", IA32_EFER.LME equals "host address-space size"', loadsEfer,
    (v) => !exitHas(v, EXIT.LOAD_IA32_EFER) || ((v.low(HOST_IA32_EFER) & EFER_LME) !== 0) === host64(v)),
  rule('host.pkrs', 'with "load PKRS", bits 63:32 of IA32_PKRS are 0', ['VM_EXIT_CONTROLS', 'HOST_IA32_PKRS'],
    (v) => !exitHas(v, EXIT.LOAD_PKRS) || v.high(HOST_IA32_PKRS) === 0),
];

const SELECTORS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS', 'TR'] as const;

function selectorRule(register: (typeof SELECTORS)[number]): RuleDraft {
  const field: FieldName = `HOST_${register}_SELECTOR`;
  const offset = OFFSET[field];
  const id = `host.${register.toLowerCase()}.selector`;
  return rule(id, `RPL and TI of the ${register} selector are 0`, [field], (v) => (v.low(offset) & 7) === 0);
}

// prettier-ignore
const segments: RuleDraft[] = [
  ...SELECTORS.map(selectorRule),
  rule('host.cs.null', 'the CS selector is not 0000H', ['HOST_CS_SELECTOR'],
    (v) => v.low(HOST_CS_SELECTOR) !== 0),
  rule('host.tr.null', 'the TR selector is not 0000H', ['HOST_TR_SELECTOR'],
    (v) => v.low(HOST_TR_SELECTOR) !== 0),
  rule('host.ss.null', 'without "host address-space size", the SS selector is not 0000H', ['VM_EXIT_CONTROLS', 'HOST_SS_SELECTOR'],
    (v) => host64(v) || v.low(HOST_SS_SELECTOR) !== 0),
  canonicalRule('host.fs.base',   'HOST_FS_BASE',   'the FS base'),
  canonicalRule('host.gs.base',   'HOST_GS_BASE',   'the GS base'),
  canonicalRule('host.gdtr.base', 'HOST_GDTR_BASE', 'the GDTR base'),
  canonicalRule('host.idtr.base', 'HOST_IDTR_BASE', 'the IDTR base'),
  canonicalRule('host.tr.base',   'HOST_TR_BASE',   'the TR base'),
];

// prettier-ignore
const addressSpace: RuleDraft[] = [
  // Implied by the three rules after it; first, so that it is the one reported.
  rule('host.size.guest-needs-host', '"IA-32e mode guest" needs "host address-space size"', ['VM_EXIT_CONTROLS', 'VM_ENTRY_CONTROLS'],
    (v) => host64(v) || !ia32eGuest(v)),
  rule('host.size.legacy-guest', 'outside IA-32e mode, "IA-32e mode guest" is 0', ['VM_ENTRY_CONTROLS'],
    (v, c) => c.longModeActive || !entryHas(v, ENTRY.IA32E_MODE_GUEST)),
  rule('host.size.legacy-host', 'outside IA-32e mode, "host address-space size" is 0', ['VM_EXIT_CONTROLS'],
    (v, c) => c.longModeActive || !host64(v)),
  rule('host.size.ia32e-host', 'in IA-32e mode, "host address-space size" is 1', ['VM_EXIT_CONTROLS'],
    (v, c) => !c.longModeActive || host64(v)),
  rule('host.size.pcide', 'without "host address-space size", CR4.PCIDE is 0', ['VM_EXIT_CONTROLS', 'HOST_CR4'],
    (v) => host64(v) || (v.low(HOST_CR4) & CR4_PCIDE) === 0),
  rule('host.size.rip-high', 'without "host address-space size", bits 63:32 of RIP are 0', ['VM_EXIT_CONTROLS', 'HOST_RIP'],
    (v) => host64(v) || v.high(HOST_RIP) === 0),
  rule('host.size.ssp-high', 'with "load CET state" and without "host address-space size", bits 63:32 of SSP are 0', ['VM_EXIT_CONTROLS', 'HOST_SSP'],
    (v) => !exitHas(v, EXIT.LOAD_CET_STATE) || host64(v) || v.high(HOST_SSP) === 0),
  rule('host.size.pae', 'with "host address-space size", CR4.PAE is 1', ['VM_EXIT_CONTROLS', 'HOST_CR4'],
    (v) => !host64(v) || (v.low(HOST_CR4) & CR4_PAE) !== 0),
  rule('host.size.rip-canonical', 'with "host address-space size", RIP is canonical', ['VM_EXIT_CONTROLS', 'HOST_RIP'],
    (v) => !host64(v) || canonical(v, HOST_RIP)),
  rule('host.size.ssp-canonical', 'with "load CET state" and "host address-space size", SSP is canonical', ['VM_EXIT_CONTROLS', 'HOST_SSP'],
    (v) => !exitHas(v, EXIT.LOAD_CET_STATE) || !host64(v) || canonical(v, HOST_SSP)),
  rule('host.ssp.aligned', 'with "load CET state", bits 1:0 of SSP are 0', ['VM_EXIT_CONTROLS', 'HOST_SSP'],
    (v) => !exitHas(v, EXIT.LOAD_CET_STATE) || (v.low(HOST_SSP) & 3) === 0),
];

export const HOST_CHECKS: readonly EntryCheckGroup[] = [
  group('host-registers', 'host', SECTION.hostRegisters, registers),
  group('host-segments', 'host', SECTION.hostSegments, segments),
  group('address-space', 'host', SECTION.addressSpace, addressSpace, { again: 'each' }),
];
