// SPDX-License-Identifier: Apache-2.0
// Table: for each VM-entry check, the valid variant to start from and the one change that breaks it.
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.ts';
import { firstFailure } from './entry-checks.ts';
import { ENTRY_STAGES } from './entry-check-row.ts';
import type { EntryCheck } from './entry-check-row.ts';
import type { ExampleVmcs } from './example-vmcs.ts';
import type { FieldName } from './fields.ts';
import { PROFILES, VMCS_REVISION_ID } from './profiles.ts';
import type { VmcsView } from './vmcs-view.ts';
import {
  FIELD,
  all,
  pin,
  primary,
  secondary,
  exit,
  entry,
  set,
  or,
  clear,
  facts,
  memory,
  inSmm,
  outsideLongMode,
  inject,
  EPTP,
  ept,
  unrestrictedGuest,
  tprShadow,
  interruptDelivery,
  postedInterrupts,
  vmFunctions,
  eptpSwitching,
  traceGuestPhysical,
  entryToSmm,
  legacyGuest,
  legacyBoth,
  paeGuest,
  realMode,
  SEGMENTS,
  v8086Guest,
  usable,
  userGuest,
  LINK,
  linked,
  shadowed,
  hlt,
  rtm,
  guestCet,
  hostCet,
  modeAlone,
  BEYOND,
  NOT_CANONICAL,
} from './entry-check-changes.test.ts';
import type { Change } from './entry-check-changes.test.ts';

export type Row = readonly [id: string, from: Change, broken: Change];

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
export const ROWS: readonly Row[] = [
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
  ['guest.pending-debug.rtm', facts({ rtm: false }), set('GUEST_PENDING_DBG_EXCEPTIONS', 0x11000)],
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

/** The first check that fails, in the order of the stages. */
export function firstFailed(vmcs: { view: VmcsView; context: ExampleVmcs['context'] }): EntryCheck | undefined {
  for (const stage of ENTRY_STAGES) {
    const failed = firstFailure(stage, vmcs.view, vmcs.context);
    if (failed !== undefined) return failed;
  }
  return undefined;
}
