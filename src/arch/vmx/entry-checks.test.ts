// SPDX-License-Identifier: Apache-2.0
// Each row is broken by exactly one example, and must then be the first that fails. The examples start from a valid
// VMCS (or a variant of it that is checked to be valid as well).
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONTROLS, CONTROL_GROUPS, ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.ts';
import type { ControlGroup } from './controls.ts';
import type { CapabilityMsrName, Halves, VmxCapabilities } from './capabilities.ts';
import {
  ALL_GROUPS,
  ENTRY_CHECKS,
  ENTRY_CHECK_GROUPS,
  GROUPS_EVERY_ENTRY,
  GROUPS_READING,
  allFailures,
  findEntryCheck,
  firstFailure,
} from './entry-checks.ts';
import { ENTRY_STAGES } from './entry-check-row.ts';
import type { EntryCheck } from './entry-check-row.ts';
import { exampleVmcs } from './example-vmcs.ts';
import type { ExampleVmcs } from './example-vmcs.ts';
import { OFFSET, fieldAtOffset } from './fields.ts';
import type { FieldName } from './fields.ts';
import type { ProcessorFacts } from './processor-facts.ts';
import { PROFILES, PROFILE_NAMES, VMCS_REVISION_ID } from './profiles.ts';
import type { VmcsView } from './vmcs-view.ts';

/** A processor with every named control, so that every rule can be reached. */
const EVERYTHING: VmxCapabilities = {
  ...PROFILES['modern-1'],
  ...everyControl(),
  IA32_VMX_VMFUNC: { low: 1, high: 0 },
};

function everyControl(): VmxCapabilities {
  const msrs: [CapabilityMsrName, Halves][] = [];
  for (const { group, capability, trueCapability } of CONTROL_GROUPS) {
    if (group === 'tertiary') continue;
    const named = CONTROLS.filter((row) => row.group === group).reduce((mask, row) => mask | (1 << row.bit), 0);
    for (const msr of [capability, trueCapability]) {
      const shown = msr && PROFILES['modern-1'][msr];
      if (msr && shown) msrs.push([msr, { low: shown.low, high: (shown.high | named) >>> 0 }]);
    }
  }
  return Object.fromEntries(msrs) as VmxCapabilities;
}

type Change = (vmcs: ExampleVmcs) => void;
const FIELD: { readonly [Group in Exclude<ControlGroup, 'tertiary'>]: FieldName } = {
  pin: 'PIN_BASED_VM_EXEC_CONTROL',
  primary: 'CPU_BASED_VM_EXEC_CONTROL',
  secondary: 'SECONDARY_VM_EXEC_CONTROL',
  exit: 'VM_EXIT_CONTROLS',
  entry: 'VM_ENTRY_CONTROLS',
};

const all =
  (...changes: Change[]): Change =>
  (vmcs) =>
    changes.forEach((change) => change(vmcs));
const pin =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.pin, bits);
const primary =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.primary, bits);
const secondary = (bits: number): Change =>
  all(primary(PRIMARY.ACTIVATE_SECONDARY_CONTROLS), (vmcs) => vmcs.or(FIELD.secondary, bits));
const exit =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.exit, bits);
const entry =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.entry, bits);
const set =
  (name: FieldName, low: number, high = 0): Change =>
  (vmcs) =>
    vmcs.set(name, low, high);
const or =
  (name: FieldName, bits: number): Change =>
  (vmcs) =>
    vmcs.or(name, bits);
const clear =
  (name: FieldName, bits: number): Change =>
  (vmcs) =>
    vmcs.clear(name, bits);
const facts =
  (change: Partial<ProcessorFacts>): Change =>
  (vmcs) => {
    vmcs.context.facts = { ...vmcs.context.facts, ...change };
  };
const memory =
  (address: number, value: number): Change =>
  (vmcs) =>
    vmcs.memory.set(address, value);
const inSmm: Change = (vmcs) => {
  vmcs.context.inSmm = true;
};
const outsideLongMode: Change = (vmcs) => {
  vmcs.context.longModeActive = false;
};
const inject = (type: number, vector: number, more = 0): Change =>
  set('VM_ENTRY_INTR_INFO_FIELD', (0x80000000 | more | (type << 8) | vector) >>> 0);

// Variants of the example.

const EPTP = 0x3000 | 0x1e;
const ept = all(secondary(SECONDARY.ENABLE_EPT), set('EPT_POINTER', EPTP));
const unrestrictedGuest = all(ept, secondary(SECONDARY.UNRESTRICTED_GUEST));
const tprShadow = all(primary(PRIMARY.USE_TPR_SHADOW), set('VIRTUAL_APIC_PAGE_ADDR', 0x9000));
const interruptDelivery = all(
  tprShadow,
  secondary(SECONDARY.VIRTUAL_INTERRUPT_DELIVERY),
  pin(PIN.EXTERNAL_INTERRUPT_EXITING),
);
const postedInterrupts = all(
  interruptDelivery,
  pin(PIN.PROCESS_POSTED_INTERRUPTS),
  exit(EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT),
);
const vmFunctions = all(ept, secondary(SECONDARY.ENABLE_VM_FUNCTIONS));
const eptpSwitching = all(vmFunctions, set('VM_FUNCTION_CONTROL', 1));
const traceGuestPhysical = all(
  ept,
  secondary(SECONDARY.PT_USES_GUEST_PHYSICAL_ADDRESSES),
  entry(ENTRY.LOAD_IA32_RTIT_CTL),
  exit(EXIT.CLEAR_IA32_RTIT_CTL),
);
const entryToSmm = all(inSmm, entry(ENTRY.ENTRY_TO_SMM), set('GUEST_INTERRUPTIBILITY_INFO', 4));

const legacyHost = all(
  outsideLongMode,
  clear('VM_EXIT_CONTROLS', EXIT.HOST_ADDRESS_SPACE_SIZE),
  set('HOST_RIP', 0xc0100000),
);

const legacyGuest = all(
  clear('VM_ENTRY_CONTROLS', ENTRY.IA32E_MODE_GUEST),
  set('GUEST_CR4', 0x2080),
  set('GUEST_CS_AR_BYTES', 0xc09b),
  set('GUEST_RIP', 0xc0100000),
);
const legacyBoth = all(legacyHost, legacyGuest);
const paeGuest = all(legacyGuest, or('GUEST_CR4', 0x20));
const realMode = all(
  unrestrictedGuest,
  legacyGuest,
  set('GUEST_CR0', 0x20),
  ...(['CS', 'SS'] as const).flatMap((name) => [
    set(`GUEST_${name}_AR_BYTES`, 0x93),
    set(`GUEST_${name}_LIMIT`, 0xffff),
  ]),
);
const SEGMENTS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const;
const v8086Guest = all(
  legacyGuest,
  or('GUEST_RFLAGS', 1 << 17),
  ...SEGMENTS.flatMap((name) => [
    set(`GUEST_${name}_SELECTOR`, 0x1000),
    set(`GUEST_${name}_BASE`, 0x10000),
    set(`GUEST_${name}_LIMIT`, 0xffff),
    set(`GUEST_${name}_AR_BYTES`, 0xf3),
  ]),
);
/** All of DS, ES, FS, GS and LDTR usable. */
const usable = all(
  ...(['DS', 'ES', 'FS', 'GS'] as const).flatMap((name) => [
    set(`GUEST_${name}_AR_BYTES`, 0xc093),
    set(`GUEST_${name}_LIMIT`, 0xffffffff),
    set(`GUEST_${name}_SELECTOR`, 0x18),
  ]),
  set('GUEST_LDTR_AR_BYTES', 0x82),
  set('GUEST_LDTR_LIMIT', 0xfef),
  set('GUEST_LDTR_SELECTOR', 0x48),
);
const userGuest = all(
  or('GUEST_CS_SELECTOR', 3),
  or('GUEST_SS_SELECTOR', 3),
  or('GUEST_CS_AR_BYTES', 0x60),
  or('GUEST_SS_AR_BYTES', 0x60),
);
const LINK = 0xa000;
const linked = all(set('VMCS_LINK_POINTER', LINK), memory(LINK, VMCS_REVISION_ID));
const shadowed = all(secondary(SECONDARY.VMCS_SHADOWING), linked, memory(LINK, (VMCS_REVISION_ID | 0x80000000) >>> 0));
const hlt = set('GUEST_ACTIVITY_STATE', 1);
const rtm = all(facts({ rtm: true }), set('GUEST_PENDING_DBG_EXCEPTIONS', 0x11000));
const guestCet = entry(ENTRY.LOAD_CET_STATE);
const hostCet = exit(EXIT.LOAD_CET_STATE);
const modeAlone: Change = () => undefined;

// What breaks each row: [id, variant to start from, the change].

type Row = readonly [id: string, from: Change, broken: Change];
const BEYOND = 1 << 7; // bit 39 of the example's 39-bit addresses, in the high half
const NOT_CANONICAL = 0x00008000;

function pointerRows(id: string, field: FieldName, from: Change, misaligned: number): Row[] {
  return [
    [`${id}.aligned`, from, or(field, misaligned)],
    [`${id}.width`, from, set(field, 0x1000, BEYOND)],
  ];
}

function msrListRows(id: string, address: FieldName, count: FieldName): Row[] {
  const from = all(set(address, 0x8000), set(count, 2));
  return [
    [`${id}.aligned`, from, or(address, 8)],
    [`${id}.width`, from, set(address, 0x8000, BEYOND)],
    [`${id}.end`, all(from, set(address, 0xffffffe0, 0x7f)), set(count, 3)],
  ];
}

function segmentRows(name: (typeof SEGMENTS)[number]): Row[] {
  const id = `guest.${name.toLowerCase()}`;
  const [rights, limit, base] = [`GUEST_${name}_AR_BYTES`, `GUEST_${name}_LIMIT`, `GUEST_${name}_BASE`] as const;
  const dataOnly: Row[] = [
    [`${id}.accessed`, usable, clear(rights, 1)],
    [`${id}.readable`, usable, all(or(rights, 8), clear(rights, 2))],
    [`${id}.dpl`, usable, or(`GUEST_${name}_SELECTOR`, 1)],
  ];
  return [
    [`${id}.v8086.base`, v8086Guest, set(base, 0x10010)],
    [`${id}.v8086.limit`, v8086Guest, set(limit, 0xfffff)],
    [`${id}.v8086.rights`, v8086Guest, set(rights, 0x93)],
    [`${id}.base`, usable, set(base, 0, name === 'FS' || name === 'GS' ? NOT_CANONICAL : 1)],
    ...(name === 'CS' || name === 'SS' ? [] : dataOnly),
    [`${id}.s`, usable, clear(rights, 0x10)],
    [`${id}.present`, usable, clear(rights, 0x80)],
    [`${id}.reserved`, usable, or(rights, 0x100)],
    [`${id}.granularity.byte`, usable, set(limit, 0xffffff00)],
    [`${id}.granularity.page`, usable, clear(rights, 0x8000)],
  ];
}

function systemRows(name: 'TR' | 'LDTR'): Row[] {
  const id = `guest.${name.toLowerCase()}`;
  const [rights, limit] = [`GUEST_${name}_AR_BYTES`, `GUEST_${name}_LIMIT`] as const;
  return [
    [`${id}.selector`, usable, or(`GUEST_${name}_SELECTOR`, 4)],
    [`${id}.base`, usable, set(`GUEST_${name}_BASE`, 0, NOT_CANONICAL)],
    [`${id}.type`, usable, set(rights, 0x89)],
    [`${id}.s`, usable, or(rights, 0x10)],
    [`${id}.present`, usable, clear(rights, 0x80)],
    [`${id}.reserved`, usable, or(rights, 0x80000000)],
    [`${id}.granularity.byte`, usable, or(rights, 0x8000)],
    [`${id}.granularity.page`, usable, set(limit, 0x100fff)],
  ];
}

// prettier-ignore
const ROWS: readonly Row[] = [
  ['controls.pin.must-be-1', modeAlone, clear(FIELD.pin, 2)],
  ['controls.pin.may-be-1', modeAlone, pin(0x100)],
  ['controls.primary.must-be-1', modeAlone, clear(FIELD.primary, 2)],
  ['controls.primary.may-be-1', modeAlone, primary(1 << 18)],
  ['controls.secondary.may-be-1', modeAlone, secondary(1 << 29)],
  ['controls.cr3-target-count', set('CR3_TARGET_COUNT', 4), set('CR3_TARGET_COUNT', 5)],
  ...pointerRows('controls.io-bitmap-a', 'IO_BITMAP_A', primary(PRIMARY.USE_IO_BITMAPS), 0x800),
  ...pointerRows('controls.io-bitmap-b', 'IO_BITMAP_B', primary(PRIMARY.USE_IO_BITMAPS), 1),
  ...pointerRows('controls.msr-bitmap', 'MSR_BITMAP', primary(PRIMARY.USE_MSR_BITMAPS), 0x10),
  ...pointerRows('controls.virtual-apic', 'VIRTUAL_APIC_PAGE_ADDR', tprShadow, 0x80),
  ['controls.tpr-threshold.reserved', tprShadow, set('TPR_THRESHOLD', 0x10)],
  ['controls.tpr-threshold.vtpr', all(tprShadow, memory(0x9080, 0x5f), set('TPR_THRESHOLD', 5)), set('TPR_THRESHOLD', 6)],
  ['controls.virtual-nmis', pin(PIN.NMI_EXITING), all(clear(FIELD.pin, PIN.NMI_EXITING), pin(PIN.VIRTUAL_NMIS))],
  ['controls.nmi-window', pin(PIN.NMI_EXITING), primary(PRIMARY.NMI_WINDOW_EXITING)],
  ['controls.x2apic-mode.tpr-shadow', modeAlone, secondary(SECONDARY.VIRTUALIZE_X2APIC_MODE)],
  ['controls.apic-register.tpr-shadow', modeAlone, secondary(SECONDARY.APIC_REGISTER_VIRTUALIZATION)],
  ['controls.virtual-interrupt-delivery.tpr-shadow', modeAlone, secondary(SECONDARY.VIRTUAL_INTERRUPT_DELIVERY)],
  ['controls.posted-interrupts.delivery', postedInterrupts, clear(FIELD.secondary, SECONDARY.VIRTUAL_INTERRUPT_DELIVERY)],
  ['controls.posted-interrupts.acknowledge', postedInterrupts, clear(FIELD.exit, EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT)],
  ['controls.posted-interrupts.vector', postedInterrupts, set('POSTED_INTR_NV', 0x100)],
  ...pointerRows('controls.posted-interrupts.descriptor', 'POSTED_INTR_DESC_ADDR', postedInterrupts, 0x20),
  ...pointerRows('controls.apic-access', 'APIC_ACCESS_ADDR', secondary(SECONDARY.VIRTUALIZE_APIC_ACCESSES), 0x800),
  ['controls.x2apic-mode.apic-accesses', all(tprShadow, secondary(SECONDARY.VIRTUALIZE_X2APIC_MODE)), secondary(SECONDARY.VIRTUALIZE_APIC_ACCESSES)],
  ['controls.virtual-interrupt-delivery.external-interrupt', interruptDelivery, clear(FIELD.pin, PIN.EXTERNAL_INTERRUPT_EXITING)],
  ['controls.vpid', all(secondary(SECONDARY.ENABLE_VPID), set('VIRTUAL_PROCESSOR_ID', 1)), set('VIRTUAL_PROCESSOR_ID', 0)],
  ['controls.eptp.memory-type', ept, set('EPT_POINTER', 0x301c)],
  ['controls.eptp.walk-length', ept, set('EPT_POINTER', 0x3026)],
  ['controls.eptp.accessed-dirty', all(ept, facts({ eptCapabilities: PROFILES['paper-1'].IA32_VMX_EPT_VPID_CAP!.low })), or('EPT_POINTER', 0x40)],
  ['controls.eptp.reserved', ept, or('EPT_POINTER', 0x80)],
  ['controls.eptp.width', ept, set('EPT_POINTER', EPTP, BEYOND)],
  ['controls.pml.ept', modeAlone, secondary(SECONDARY.ENABLE_PML)],
  ...pointerRows('controls.pml-address', 'PML_ADDRESS', all(ept, secondary(SECONDARY.ENABLE_PML)), 0x400),
  ['controls.unrestricted-guest.ept', modeAlone, secondary(SECONDARY.UNRESTRICTED_GUEST)],
  ['controls.mode-based-execute.ept', modeAlone, secondary(SECONDARY.MODE_BASED_EXECUTE_CONTROL)],
  ['controls.sub-page-write.ept', modeAlone, secondary(SECONDARY.SUB_PAGE_WRITE_PERMISSIONS)],
  ...pointerRows('controls.sub-page-table', 'SPP_TABLE_POINTER', all(ept, secondary(SECONDARY.SUB_PAGE_WRITE_PERMISSIONS)), 8),
  ['controls.vm-functions.reserved', vmFunctions, set('VM_FUNCTION_CONTROL', 2)],
  ['controls.eptp-switching.ept', eptpSwitching, clear(FIELD.secondary, SECONDARY.ENABLE_EPT)],
  ...pointerRows('controls.eptp-list', 'EPTP_LIST_ADDRESS', eptpSwitching, 8),
  ...pointerRows('controls.vmread-bitmap', 'VMREAD_BITMAP', shadowed, 1),
  ...pointerRows('controls.vmwrite-bitmap', 'VMWRITE_BITMAP', shadowed, 1),
  ...pointerRows('controls.ve-information', 'VE_INFORMATION_ADDRESS', all(ept, secondary(SECONDARY.EPT_VIOLATION_VE)), 4),
  ['controls.pt-guest-physical.ept', traceGuestPhysical, clear(FIELD.secondary, SECONDARY.ENABLE_EPT)],
  ['controls.pt-guest-physical.load', traceGuestPhysical, clear(FIELD.entry, ENTRY.LOAD_IA32_RTIT_CTL)],
  ['controls.pt-guest-physical.clear', traceGuestPhysical, clear(FIELD.exit, EXIT.CLEAR_IA32_RTIT_CTL)],
  ['controls.exit.must-be-1', modeAlone, clear(FIELD.exit, 1)],
  ['controls.exit.may-be-1', facts({ exitMayBeOne: PROFILES['modern-1'].IA32_VMX_TRUE_EXIT_CTLS!.high }), exit(EXIT.LOAD_PKRS)],
  ['controls.exit.save-preemption-timer', all(pin(PIN.ACTIVATE_VMX_PREEMPTION_TIMER), exit(EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE)), clear(FIELD.pin, PIN.ACTIVATE_VMX_PREEMPTION_TIMER)],
  ...msrListRows('controls.exit.msr-store', 'VM_EXIT_MSR_STORE_ADDR', 'VM_EXIT_MSR_STORE_COUNT'),
  ...msrListRows('controls.exit.msr-load', 'VM_EXIT_MSR_LOAD_ADDR', 'VM_EXIT_MSR_LOAD_COUNT'),
  ['controls.entry.must-be-1', modeAlone, clear(FIELD.entry, 1)],
  ['controls.entry.may-be-1', modeAlone, entry(0x80000000)],
  ...msrListRows('controls.entry.msr-load', 'VM_ENTRY_MSR_LOAD_ADDR', 'VM_ENTRY_MSR_LOAD_COUNT'),
  ['controls.entry.to-smm', modeAlone, entry(ENTRY.ENTRY_TO_SMM)],
  ['controls.entry.dual-monitor', modeAlone, entry(ENTRY.DEACTIVATE_DUAL_MONITOR_TREATMENT)],
  ['controls.entry.smm-exclusive', entryToSmm, entry(ENTRY.DEACTIVATE_DUAL_MONITOR_TREATMENT)],
  ['controls.injection.type', inject(0, 0x30), inject(1, 0x30)],
  ['controls.injection.nmi-vector', inject(2, 2), inject(2, 3)],
  ['controls.injection.exception-vector', inject(3, 31), inject(3, 32)],
  ['controls.injection.other-vector', inject(7, 0), inject(7, 1)],
  ['controls.injection.error-code-missing', inject(3, 13, 0x800), inject(3, 13)],
  ['controls.injection.error-code-unexpected', inject(3, 6), inject(3, 6, 0x800)],
  ['controls.injection.reserved', inject(0, 0x30), inject(0, 0x30, 0x1000)],
  ['controls.injection.error-code', all(inject(3, 14, 0x800), set('VM_ENTRY_EXCEPTION_ERROR_CODE', 0xffff)), set('VM_ENTRY_EXCEPTION_ERROR_CODE', 0x10000)],
  ['controls.injection.length.maximum', all(inject(4, 0x80), set('VM_ENTRY_INSTRUCTION_LEN', 15)), set('VM_ENTRY_INSTRUCTION_LEN', 16)],
  ['controls.injection.length.zero', all(inject(6, 3), facts({ misc: PROFILES['paper-1'].IA32_VMX_MISC!.low }), set('VM_ENTRY_INSTRUCTION_LEN', 1)), set('VM_ENTRY_INSTRUCTION_LEN', 0)],

  ['host.cr0.must-be-1', modeAlone, clear('HOST_CR0', 0x20)],
  ['host.cr0.must-be-0', modeAlone, set('HOST_CR0', 0x80050033, 1)],
  ['host.cr4.must-be-1', modeAlone, clear('HOST_CR4', 0x2000)],
  ['host.cr4.must-be-0', modeAlone, or('HOST_CR4', 1 << 12)],
  ['host.cr4.cet', all(facts({ cr4Fixed1: 0xffffffff }), or('HOST_CR4', 1 << 23)), clear('HOST_CR0', 1 << 16)],
  ['host.cr3.width', modeAlone, set('HOST_CR3', 0, BEYOND)],
  ['host.sysenter-esp', modeAlone, set('HOST_IA32_SYSENTER_ESP', 0, NOT_CANONICAL)],
  ['host.sysenter-eip', modeAlone, set('HOST_IA32_SYSENTER_EIP', 0, 0x00010000)],
  ['host.s-cet', hostCet, set('HOST_S_CET', 0xc00)],
  ['host.interrupt-ssp-table', hostCet, set('HOST_INTR_SSP_TABLE', 0, NOT_CANONICAL)],
  ['host.perf-global-ctrl', all(exit(EXIT.LOAD_IA32_PERF_GLOBAL_CTRL), facts({ perfGlobalCtrlSupported: { low: 3, high: 7 } }), set('HOST_IA32_PERF_GLOBAL_CTRL', 3, 7)), set('HOST_IA32_PERF_GLOBAL_CTRL', 4)],
  ['host.pat', exit(EXIT.LOAD_IA32_PAT), set('HOST_IA32_PAT', 0x00070406, 0x03070406)],
  ['host.efer.reserved', exit(EXIT.LOAD_IA32_EFER), or('HOST_IA32_EFER', 2)],
  ['host.efer.lma', exit(EXIT.LOAD_IA32_EFER), clear('HOST_IA32_EFER', 1 << 10)],
  ['host.efer.lme', exit(EXIT.LOAD_IA32_EFER), clear('HOST_IA32_EFER', 1 << 8)],
  ['host.pkrs', exit(EXIT.LOAD_PKRS), set('HOST_IA32_PKRS', 0, 1)],
  ...(['CS', 'SS', 'DS', 'ES', 'FS', 'GS', 'TR'] as const).map((name, index): Row =>
    [`host.${name.toLowerCase()}.selector`, modeAlone, or(`HOST_${name}_SELECTOR`, 1 << (index % 3))]),
  ['host.cs.null', modeAlone, set('HOST_CS_SELECTOR', 0)],
  ['host.tr.null', modeAlone, set('HOST_TR_SELECTOR', 0)],
  ['host.ss.null', legacyBoth, set('HOST_SS_SELECTOR', 0)],
  ...(['FS', 'GS', 'GDTR', 'IDTR', 'TR'] as const).map((name): Row =>
    [`host.${name.toLowerCase()}.base`, modeAlone, set(`HOST_${name}_BASE`, 0, NOT_CANONICAL)]),
  ['host.size.guest-needs-host', modeAlone, clear(FIELD.exit, EXIT.HOST_ADDRESS_SPACE_SIZE)],
  ['host.size.legacy-guest', modeAlone, outsideLongMode],
  ['host.size.legacy-host', legacyBoth, exit(EXIT.HOST_ADDRESS_SPACE_SIZE)],
  ['host.size.ia32e-host', legacyGuest, clear(FIELD.exit, EXIT.HOST_ADDRESS_SPACE_SIZE)],
  ['host.size.pcide', legacyBoth, or('HOST_CR4', 1 << 17)],
  ['host.size.rip-high', legacyBoth, set('HOST_RIP', 0, 1)],
  ['host.size.ssp-high', all(legacyBoth, hostCet), set('HOST_SSP', 0, 1)],
  ['host.size.pae', modeAlone, clear('HOST_CR4', 0x20)],
  ['host.size.rip-canonical', modeAlone, set('HOST_RIP', 0, NOT_CANONICAL)],
  ['host.size.ssp-canonical', hostCet, set('HOST_SSP', 0, NOT_CANONICAL)],
  ['host.ssp.aligned', hostCet, set('HOST_SSP', 4 + 2)],

  ['guest.cr0.must-be-1', modeAlone, clear('GUEST_CR0', 0x20)],
  ['guest.cr0.must-be-0', modeAlone, set('GUEST_CR0', 0x80050033, 1)],
  ['guest.cr0.pg-pe', all(unrestrictedGuest, legacyGuest), clear('GUEST_CR0', 1)],
  ['guest.cr4.must-be-1', modeAlone, clear('GUEST_CR4', 0x2000)],
  ['guest.cr4.must-be-0', modeAlone, set('GUEST_CR4', 0x20a0, 1)],
  ['guest.cr4.cet', all(facts({ cr4Fixed1: 0xffffffff }), or('GUEST_CR4', 1 << 23)), clear('GUEST_CR0', 1 << 16)],
  ['guest.debugctl', entry(ENTRY.LOAD_DEBUG_CONTROLS), set('GUEST_IA32_DEBUGCTL', 0x40)],
  ['guest.ia32e.pg', unrestrictedGuest, clear('GUEST_CR0', 0x80000000)],
  ['guest.ia32e.pae', modeAlone, clear('GUEST_CR4', 0x20)],
  ['guest.cr4.pcide', legacyGuest, or('GUEST_CR4', 1 << 17)],
  ['guest.cr3.width', modeAlone, set('GUEST_CR3', 0, 0x80000000)],
  ['guest.dr7', entry(ENTRY.LOAD_DEBUG_CONTROLS), set('GUEST_DR7', 0x400, 1)],
  ['guest.sysenter-esp', modeAlone, set('GUEST_SYSENTER_ESP', 0, NOT_CANONICAL)],
  ['guest.sysenter-eip', modeAlone, set('GUEST_SYSENTER_EIP', 0, 0xffff7fff)],
  ['guest.s-cet', guestCet, set('GUEST_S_CET', 0x40)],
  ['guest.interrupt-ssp-table', guestCet, set('GUEST_INTR_SSP_TABLE', 0, NOT_CANONICAL)],
  ['guest.perf-global-ctrl', entry(ENTRY.LOAD_IA32_PERF_GLOBAL_CTRL), set('GUEST_IA32_PERF_GLOBAL_CTRL', 1)],
  ['guest.pat', entry(ENTRY.LOAD_IA32_PAT), set('GUEST_IA32_PAT', 0x00080406)],
  ['guest.efer.reserved', entry(ENTRY.LOAD_IA32_EFER), set('GUEST_IA32_EFER', 0xd01, 1)],
  ['guest.efer.lma', entry(ENTRY.LOAD_IA32_EFER), clear('GUEST_IA32_EFER', 1 << 10)],
  ['guest.efer.lme', entry(ENTRY.LOAD_IA32_EFER), clear('GUEST_IA32_EFER', 1 << 8)],
  ['guest.bndcfgs.reserved', entry(ENTRY.LOAD_IA32_BNDCFGS), set('GUEST_BNDCFGS', 4)],
  ['guest.bndcfgs.canonical', entry(ENTRY.LOAD_IA32_BNDCFGS), set('GUEST_BNDCFGS', 0, NOT_CANONICAL)],
  ['guest.uinv', entry(ENTRY.LOAD_UINV), set('GUEST_UINV', 0x100)],
  ['guest.pkrs', entry(ENTRY.LOAD_PKRS), set('GUEST_IA32_PKRS', 0, 1)],

  ...SEGMENTS.flatMap(segmentRows),
  ['guest.cs.type', modeAlone, clear('GUEST_CS_AR_BYTES', 1)],
  ['guest.cs.db', modeAlone, or('GUEST_CS_AR_BYTES', 0x4000)],
  ['guest.cs.dpl', modeAlone, or('GUEST_CS_AR_BYTES', 0x20)],
  ['guest.ss.rpl', modeAlone, or('GUEST_CS_SELECTOR', 1)],
  ['guest.ss.type', modeAlone, set('GUEST_SS_AR_BYTES', 0xc091)],
  ['guest.ss.dpl', modeAlone, or('GUEST_SS_AR_BYTES', 0x60)],
  ['guest.ss.dpl-real', realMode, or('GUEST_SS_AR_BYTES', 0x20)],
  ...systemRows('TR'),
  ...systemRows('LDTR'),
  ['guest.tr.usable', modeAlone, or('GUEST_TR_AR_BYTES', 0x10000)],

  ['guest.gdtr.base', modeAlone, set('GUEST_GDTR_BASE', 0, NOT_CANONICAL)],
  ['guest.idtr.base', modeAlone, set('GUEST_IDTR_BASE', 0, NOT_CANONICAL)],
  ['guest.gdtr.limit', modeAlone, set('GUEST_GDTR_LIMIT', 0x10000)],
  ['guest.idtr.limit', modeAlone, set('GUEST_IDTR_LIMIT', 0x80000000)],
  ['guest.rip.high', legacyGuest, set('GUEST_RIP', 0, 1)],
  ['guest.rip.identical', set('GUEST_RIP', 0, NOT_CANONICAL), set('GUEST_RIP', 0, 0x00010000)],
  ['guest.rflags.reserved', modeAlone, or('GUEST_RFLAGS', 1 << 22)],
  ['guest.rflags.bit1', modeAlone, clear('GUEST_RFLAGS', 2)],
  ['guest.rflags.vm-ia32e', v8086Guest, all(entry(ENTRY.IA32E_MODE_GUEST), or('GUEST_CR4', 0x20))],
  ['guest.rflags.vm-real', all(unrestrictedGuest, v8086Guest), clear('GUEST_CR0', 0x80000001)],
  ['guest.rflags.if', inject(0, 0x30), clear('GUEST_RFLAGS', 0x200)],
  ['guest.ssp.aligned', guestCet, set('GUEST_SSP', 2)],
  ['guest.ssp.high', all(legacyGuest, guestCet), set('GUEST_SSP', 0, 1)],
  ['guest.ssp.identical', guestCet, set('GUEST_SSP', 0, 0x00010000)],

  ['guest.activity.supported', hlt, set('GUEST_ACTIVITY_STATE', 4)],
  ['guest.activity.hlt-dpl', userGuest, hlt],
  ['guest.activity.blocking', set('GUEST_INTERRUPTIBILITY_INFO', 1), hlt],
  ['guest.activity.injection', all(hlt, inject(3, 1)), inject(3, 6)],
  ['guest.activity.smm', entryToSmm, set('GUEST_ACTIVITY_STATE', 3)],
  ['guest.interruptibility.reserved', modeAlone, set('GUEST_INTERRUPTIBILITY_INFO', 0x20)],
  ['guest.interruptibility.sti-and-mov-ss', set('GUEST_INTERRUPTIBILITY_INFO', 2), set('GUEST_INTERRUPTIBILITY_INFO', 3)],
  ['guest.interruptibility.sti-if', set('GUEST_INTERRUPTIBILITY_INFO', 1), clear('GUEST_RFLAGS', 0x200)],
  ['guest.interruptibility.external-interrupt', inject(0, 0x30), set('GUEST_INTERRUPTIBILITY_INFO', 1)],
  ['guest.interruptibility.nmi-mov-ss', inject(2, 2), set('GUEST_INTERRUPTIBILITY_INFO', 2)],
  ['guest.interruptibility.smi', all(inSmm, set('GUEST_INTERRUPTIBILITY_INFO', 4)), (vmcs) => { vmcs.context.inSmm = false; }],
  ['guest.interruptibility.smm', entryToSmm, set('GUEST_INTERRUPTIBILITY_INFO', 0)],
  ['guest.interruptibility.virtual-nmi', all(inject(2, 2), pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS)), set('GUEST_INTERRUPTIBILITY_INFO', 8)],
  ['guest.interruptibility.enclave', modeAlone, set('GUEST_INTERRUPTIBILITY_INFO', 0x10)],
  ['guest.interruptibility.nmi-sti', inject(2, 2), set('GUEST_INTERRUPTIBILITY_INFO', 1)],
  ['guest.pending-debug.reserved', set('GUEST_PENDING_DBG_EXCEPTIONS', 0x500f), set('GUEST_PENDING_DBG_EXCEPTIONS', 0x10)],
  ['guest.pending-debug.bs-set', all(or('GUEST_RFLAGS', 0x100), set('GUEST_INTERRUPTIBILITY_INFO', 2), set('GUEST_PENDING_DBG_EXCEPTIONS', 0x4000)), set('GUEST_PENDING_DBG_EXCEPTIONS', 0)],
  ['guest.pending-debug.bs-clear', all(or('GUEST_RFLAGS', 0x100), hlt, set('GUEST_PENDING_DBG_EXCEPTIONS', 0x4000)), set('GUEST_IA32_DEBUGCTL', 2)],
  ['guest.pending-debug.rtm', rtm, facts({ rtm: false })],
  ['guest.pending-debug.rtm-alone', rtm, or('GUEST_PENDING_DBG_EXCEPTIONS', 1)],
  ['guest.pending-debug.rtm-mov-ss', rtm, set('GUEST_INTERRUPTIBILITY_INFO', 2)],
  ['guest.link-pointer.aligned', linked, or('VMCS_LINK_POINTER', 0x800)],
  ['guest.link-pointer.width', linked, set('VMCS_LINK_POINTER', LINK, 0xff)],
  ['guest.link-pointer.revision', linked, memory(LINK, VMCS_REVISION_ID + 1)],
  ['guest.link-pointer.shadow', shadowed, memory(LINK, VMCS_REVISION_ID)],
  ['guest.link-pointer.current', linked, (vmcs) => { vmcs.context.currentVmcs = LINK; }],
  ...([0, 1, 2, 3] as const).flatMap((index): Row[] => [
    [`guest.pdpte${index}.field`, all(paeGuest, ept, set(`GUEST_PDPTR${index}`, 0x1001)), set(`GUEST_PDPTR${index}`, 0x1003)],
    [`guest.pdpte${index}.memory`, all(paeGuest, memory(0x200000 + 8 * index, 0x1001)), memory(0x200004 + 8 * index, BEYOND)],
  ]),
];

function first(vmcs: { view: VmcsView; context: ExampleVmcs['context'] }): EntryCheck | undefined {
  for (const stage of ENTRY_STAGES) {
    const failed = firstFailure(stage, vmcs.view, vmcs.context);
    if (failed !== undefined) return failed;
  }
  return undefined;
}

/** Records which fields are read. */
class RecordingView implements VmcsView {
  readonly names = new Set<string>();
  readonly view: VmcsView;
  constructor(view: VmcsView) {
    this.view = view;
  }
  low(offset: number): number {
    this.names.add(fieldAtOffset(offset)?.name ?? `offset ${offset}`);
    return this.view.low(offset);
  }
  high(offset: number): number {
    this.names.add(fieldAtOffset(offset)?.name ?? `offset ${offset}`);
    return this.view.high(offset);
  }
}

describe('entry checks: the example passes', () => {
  for (const name of PROFILE_NAMES) {
    it(`on ${name}`, () => assert.deepEqual(allFailures(...pair(exampleVmcs(PROFILES[name]))), []));
  }
  const pair = (vmcs: ExampleVmcs) => [vmcs.view, vmcs.context] as const;
  const variants = {
    usable,
    userGuest,
    legacyGuest,
    legacyBoth,
    paeGuest,
    realMode,
    v8086Guest,
    unrestrictedGuest,
    linked,
    shadowed,
  };
  for (const [name, change] of Object.entries(variants)) {
    it(`as ${name}`, () => {
      const vmcs = exampleVmcs(PROFILES['modern-1']);
      change(vmcs);
      assert.equal(first(vmcs)?.id, undefined);
    });
  }
});

describe('entry checks: each row is broken by its example, and by nothing before it', () => {
  for (const [id, from, broken] of ROWS) {
    it(id, () => {
      const vmcs = exampleVmcs(EVERYTHING);
      from(vmcs);
      assert.equal(first(vmcs)?.id, undefined, 'the variant is valid');
      broken(vmcs);
      assert.equal(first(vmcs)?.id, id);
      const stage = findEntryCheck(id)?.stage;
      assert.ok(stage !== undefined && firstFailure(stage, vmcs.view, vmcs.context)?.id === id);
    });
  }

  it('every row has exactly one example', () => {
    assert.deepEqual(ROWS.map(([id]) => id).sort(), ENTRY_CHECKS.map((check) => check.id).sort());
  });
});

describe('entry checks: rows', () => {
  it('have unique ids and say something', () => {
    assert.equal(new Set(ENTRY_CHECKS.map((check) => check.id)).size, ENTRY_CHECKS.length);
    for (const check of ENTRY_CHECKS) {
      assert.match(check.id, /^(controls|host|guest)\.[a-z0-9.-]+$/);
      assert.match(check.section, /^27\.[0-9.]+ [A-Z]/);
      assert.ok(check.sentence.length > 10 && !check.sentence.endsWith('.'), check.id);
    }
  });

  it('fail in the way of their stage', () => {
    const failure = (id: string) => findEntryCheck(id)?.failure;
    assert.deepEqual(failure('controls.vpid'), { kind: 'VMfailValid', error: 7 });
    assert.deepEqual(failure('host.size.pae'), { kind: 'VMfailValid', error: 8 });
    assert.deepEqual(failure('guest.rflags.bit1'), { kind: 'exit', reason: 33, qualification: 0 });
    assert.deepEqual(failure('guest.pdpte0.field'), { kind: 'exit', reason: 33, qualification: 2 });
    assert.deepEqual(failure('guest.interruptibility.nmi-sti'), { kind: 'exit', reason: 33, qualification: 3 });
    assert.deepEqual(failure('guest.link-pointer.revision'), { kind: 'exit', reason: 33, qualification: 4 });
  });

  it('declare exactly the fields that they read', () => {
    const seen = new Map<string, Set<string>>();
    const note = (id: string, reads: ReadonlySet<string>): void => {
      const names = seen.get(id) ?? new Set<string>();
      reads.forEach((name) => names.add(name));
      seen.set(id, names);
    };
    const examples = ROWS.flatMap(([, from, broken]) => [[from], [from, broken]]);
    const further = [
      unrestrictedGuest,
      realMode,
      set('GUEST_TR_AR_BYTES', 0x83),
      all(legacyGuest, hlt, or('GUEST_RFLAGS', 0x100)),
    ];
    const exceptions = [0, 0x800].flatMap((code) => further.map((from) => [from, inject(3, 13, code)]));
    for (const changes of [...examples, ...exceptions]) {
      const vmcs = exampleVmcs(EVERYTHING);
      changes.forEach((change) => change(vmcs));
      for (const group of ENTRY_CHECK_GROUPS) {
        for (const row of [...(group.when ? [{ id: group.name, holds: group.when.holds }] : []), ...group.checks]) {
          const view = new RecordingView(vmcs.view);
          row.holds(view, vmcs.context);
          note(row.id, view.names);
        }
      }
    }
    for (const group of ENTRY_CHECK_GROUPS) {
      if (group.when) assert.deepEqual([...seen.get(group.name)!].sort(), [...group.when.reads].sort(), group.name);
      for (const check of group.checks) {
        assert.deepEqual([...seen.get(check.id)!].sort(), [...new Set(check.reads)].sort(), check.id);
      }
    }
  });

  it('can be left out by group when nothing they read has changed', () => {
    assert.ok(ENTRY_CHECK_GROUPS.length <= 31);
    for (const [id, from, broken] of ROWS) {
      const vmcs = exampleVmcs(EVERYTHING);
      from(vmcs);
      const before = vmcs.view.words.slice();
      broken(vmcs);
      let written = 0;
      GROUPS_READING.forEach((mask, slot) => {
        if ([0, 1].some((half) => before[2 * slot + half] !== vmcs.view.words[2 * slot + half])) written |= mask;
      });
      const { stage } = findEntryCheck(id)!;
      assert.equal(firstFailure(stage, vmcs.view, vmcs.context, GROUPS_EVERY_ENTRY | written)?.id, id);
      assert.equal(
        firstFailure(stage, vmcs.view, vmcs.context, ALL_GROUPS & ~(GROUPS_EVERY_ENTRY | written)),
        undefined,
        id,
      );
    }
  });

  it('that read memory are checked at every entry', () => {
    for (const group of ENTRY_CHECK_GROUPS) {
      if (group.checks.some((check) => check.memory !== undefined)) assert.ok(group.everyEntry, group.name);
    }
  });
});

describe('entry checks: finer points', () => {
  const outcome = (capabilities: VmxCapabilities, ...changes: Change[]): string | undefined => {
    const vmcs = exampleVmcs(capabilities);
    all(...changes)(vmcs);
    return first(vmcs)?.id;
  };

  it('secondary controls count only when activated', () => {
    const idle = all(secondary(SECONDARY.UNRESTRICTED_GUEST | 0x20000000), clear(FIELD.primary, 0x80000000));
    assert.equal(outcome(EVERYTHING, idle), undefined);
  });

  it('no error code is delivered in real mode', () => {
    assert.equal(outcome(EVERYTHING, realMode, inject(3, 13)), undefined);
    assert.equal(outcome(EVERYTHING, realMode, inject(3, 13, 0x800)), 'controls.injection.error-code-unexpected');
  });

  it('with IA32_VMX_BASIC[56], any hardware exception may have an error code or not', () => {
    const free = facts({ basicHigh: EVERYTHING.IA32_VMX_BASIC!.high | (1 << 24) });
    assert.equal(outcome(EVERYTHING, free, inject(3, 6, 0x800)), undefined);
    assert.equal(outcome(EVERYTHING, free, inject(3, 13)), undefined);
    assert.equal(outcome(EVERYTHING, free, inject(0, 0x30, 0x800)), 'controls.injection.error-code-unexpected');
  });

  it('each activity state takes its events', () => {
    const events = {
      interrupt: inject(0, 0x30),
      nmi: inject(2, 2),
      db: inject(3, 1),
      mc: inject(3, 18),
      mtf: inject(7, 0),
      ud: inject(3, 6),
    };
    const taken = [1, 2, 3].map((state) =>
      Object.keys(events).filter(
        (name) =>
          outcome(EVERYTHING, set('GUEST_ACTIVITY_STATE', state), events[name as keyof typeof events]) === undefined,
      ),
    );
    assert.deepEqual(taken, [['interrupt', 'nmi', 'db', 'mc', 'mtf'], ['nmi', 'mc'], []]);
  });

  it('event type 7 needs the monitor trap flag', () => {
    assert.equal(outcome(PROFILES['paper-1'], inject(7, 0)), 'controls.injection.type');
    assert.equal(outcome(PROFILES['modern-1'], inject(7, 0)), undefined);
  });

  it('PAT bytes 2 and 3 do not exist, the other six do', () => {
    const valid = [...Array(256).keys()].filter(
      (type) => outcome(EVERYTHING, entry(ENTRY.LOAD_IA32_PAT), set('GUEST_IA32_PAT', 0, type << 16)) === undefined,
    );
    assert.deepEqual(valid, [0, 1, 4, 5, 6, 7]);
  });

  it('conforming CS may be less privileged than SS says, never more', () => {
    const conforming = all(userGuest, set('GUEST_CS_AR_BYTES', 0xa09f));
    assert.equal(outcome(EVERYTHING, conforming), undefined);
    assert.equal(outcome(EVERYTHING, set('GUEST_CS_AR_BYTES', 0xa0ff)), 'guest.cs.dpl');
  });

  it('CS type 3 needs "unrestricted guest"', () => {
    assert.equal(outcome(EVERYTHING, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc093)), 'guest.cs.type');
    assert.equal(outcome(EVERYTHING, unrestrictedGuest, legacyGuest, set('GUEST_CS_AR_BYTES', 0xc093)), undefined);
  });

  it('unusable registers are not looked at', () => {
    const junk = all(
      ...(['DS', 'ES', 'SS'] as const).map((name) => set(`GUEST_${name}_AR_BYTES`, 0x10f00)),
      set('GUEST_LDTR_BASE', 0, NOT_CANONICAL),
    );
    assert.equal(outcome(EVERYTHING, junk), undefined);
  });

  it('a 16-bit TSS is for guests outside IA-32e mode', () => {
    assert.equal(outcome(EVERYTHING, set('GUEST_TR_AR_BYTES', 0x83)), 'guest.tr.type');
    assert.equal(outcome(EVERYTHING, legacyGuest, set('GUEST_TR_AR_BYTES', 0x83)), undefined);
  });

  it('addresses may use the whole physical-address width and no more', () => {
    const at = (width: number, high: number): string | undefined =>
      outcome(EVERYTHING, facts({ physicalAddressWidth: width }), set('GUEST_CR3', 0, high));
    assert.deepEqual(
      [at(46, 0x3fff), at(46, 0x4000), at(52, 0xfffff), at(32, 1)],
      [undefined, 'guest.cr3.width', undefined, 'guest.cr3.width'],
    );
  });

  it('the offsets that the checks name are fields', () => {
    for (const check of ENTRY_CHECKS)
      for (const name of check.reads) assert.equal(fieldAtOffset(OFFSET[name])?.name, name);
  });
});
