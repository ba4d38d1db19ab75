// SPDX-License-Identifier: Apache-2.0
// VM-entry rules for the guest's non-register state and its PDPTEs. A broken rule is an exit with reason 33.

import { extract } from './bit-field.ts';
import { MISC } from './capabilities.ts';
import { ENTRY, PIN, SECONDARY } from './controls.ts';
import {
  ENTRY_FAILURE_QUALIFICATION,
  SECONDARY_READS,
  entryHas,
  group,
  ia32eGuest,
  injectedType,
  pinHas,
  rule,
  secondaryHas,
  withinPhysicalWidth,
} from './entry-check-row.ts';
import type { EntryCheckGroup, GroupCondition, Holds, RuleDraft } from './entry-check-row.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import type { EntryContext } from './processor-facts.ts';
import { SECTION } from './sections.ts';
import {
  ACTIVITY,
  BLOCKING_BY_MOV_SS,
  BLOCKING_BY_NMI,
  BLOCKING_BY_SMI,
  BLOCKING_BY_STI,
  CR0_PG,
  CR4_PAE,
  DEBUGCTL_BTF,
  ENCLAVE_INTERRUPTION,
  PENDING_BS,
  RFLAGS_IF,
  RFLAGS_TF,
} from './state-bits.ts';
import { addressAt } from './vmcs-view.ts';
import type { VmcsView } from './vmcs-view.ts';

const { GUEST_ACTIVITY_STATE, GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS } = OFFSET;
const { GUEST_RFLAGS, GUEST_SS_AR_BYTES, GUEST_IA32_DEBUGCTL, VM_ENTRY_INTR_INFO_FIELD } = OFFSET;
const { VMCS_LINK_POINTER, GUEST_CR0, GUEST_CR3, GUEST_CR4 } = OFFSET;

const activity = (v: VmcsView): number => v.low(GUEST_ACTIVITY_STATE);
const blocks = (v: VmcsView, mask: number): boolean => (v.low(GUEST_INTERRUPTIBILITY_INFO) & mask) !== 0;
const STI_OR_MOV_SS = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS;
const [EXTERNAL_INTERRUPT, NMI, HARDWARE_EXCEPTION, OTHER_EVENT] = [0, 2, 3, 7];
const [DEBUG_EXCEPTION, MACHINE_CHECK] = [1, 18];

const activitySupported: Holds = (v, c) => {
  const state = activity(v);
  if (state === ACTIVITY.active) return true;
  if (state === ACTIVITY.hlt) return extract(MISC.ACTIVITY_HLT, c.facts.misc) !== 0;
  if (state === ACTIVITY.shutdown) return extract(MISC.ACTIVITY_SHUTDOWN, c.facts.misc) !== 0;
  return state === ACTIVITY.waitForSipi && extract(MISC.ACTIVITY_WAIT_FOR_SIPI, c.facts.misc) !== 0;
};

/** Whether an event of this kind may be injected into a guest in this state. */
const activityTakesEvent: Holds = (v) => {
  const type = injectedType(v);
  if (type < 0 || activity(v) === ACTIVITY.active) return true;
  const vector = v.low(VM_ENTRY_INTR_INFO_FIELD) & 0xff;
  const machineCheck = type === HARDWARE_EXCEPTION && vector === MACHINE_CHECK;
  if (activity(v) === ACTIVITY.shutdown) return type === NMI || machineCheck;
  if (activity(v) !== ACTIVITY.hlt) return false;
  const debugException = type === HARDWARE_EXCEPTION && vector === DEBUG_EXCEPTION;
  const pendingMtf = type === OTHER_EVENT && vector === 0;
  return type === EXTERNAL_INTERRUPT || type === NMI || machineCheck || debugException || pendingMtf;
};

const INTERRUPTIBILITY: readonly FieldName[] = ['GUEST_INTERRUPTIBILITY_INFO'];
const INJECTION: readonly FieldName[] = ['VM_ENTRY_INTR_INFO_FIELD'];
const ENTRY_CONTROLS: readonly FieldName[] = ['VM_ENTRY_CONTROLS'];

// prettier-ignore
const interruptibility: RuleDraft[] = [
  rule('guest.activity.supported', 'the activity state is one that the processor supports', ['GUEST_ACTIVITY_STATE'], activitySupported),
  rule('guest.activity.hlt-dpl', 'the activity state is not HLT if the DPL of SS is not 0', ['GUEST_ACTIVITY_STATE', 'GUEST_SS_AR_BYTES'],
    (v) => activity(v) !== ACTIVITY.hlt || (v.low(GUEST_SS_AR_BYTES) & 0x60) === 0),
  rule('guest.activity.blocking', 'the activity state is active while STI or MOV SS blocks', ['GUEST_ACTIVITY_STATE', ...INTERRUPTIBILITY],
    (v) => activity(v) === ACTIVITY.active || !blocks(v, STI_OR_MOV_SS)),
  rule('guest.activity.injection', 'the injected event is one that the activity state takes (HLT: interrupt, NMI, #DB, #MC, pending MTF; shutdown: NMI, #MC; wait-for-SIPI: none)',
    ['GUEST_ACTIVITY_STATE', ...INJECTION], activityTakesEvent),
  rule('guest.activity.smm', 'with "entry to SMM", the activity state is not wait-for-SIPI', ['GUEST_ACTIVITY_STATE', ...ENTRY_CONTROLS],
    (v) => activity(v) !== ACTIVITY.waitForSipi || !entryHas(v, ENTRY.ENTRY_TO_SMM)),
  rule('guest.interruptibility.reserved', 'bits 31:5 of the interruptibility state are 0', INTERRUPTIBILITY,
    (v) => v.low(GUEST_INTERRUPTIBILITY_INFO) <= 0x1f),
  rule('guest.interruptibility.sti-and-mov-ss', 'STI and MOV SS do not both block', INTERRUPTIBILITY,
    (v) => !blocks(v, BLOCKING_BY_STI) || !blocks(v, BLOCKING_BY_MOV_SS)),
  rule('guest.interruptibility.sti-if', 'STI does not block if RFLAGS.IF is 0', [...INTERRUPTIBILITY, 'GUEST_RFLAGS'],
    (v) => !blocks(v, BLOCKING_BY_STI) || (v.low(GUEST_RFLAGS) & RFLAGS_IF) !== 0),
  rule('guest.interruptibility.external-interrupt', 'neither STI nor MOV SS blocks if an external interrupt is injected', [...INTERRUPTIBILITY, ...INJECTION],
    (v) => injectedType(v) !== EXTERNAL_INTERRUPT || !blocks(v, STI_OR_MOV_SS)),
  rule('guest.interruptibility.nmi-mov-ss', 'MOV SS does not block if an NMI is injected', [...INTERRUPTIBILITY, ...INJECTION],
    (v) => injectedType(v) !== NMI || !blocks(v, BLOCKING_BY_MOV_SS)),
];

/** SMM is the processor's own state. */
// prettier-ignore
const smm: RuleDraft[] = [
  rule('guest.interruptibility.smi', 'outside SMM, blocking by SMI is 0', INTERRUPTIBILITY,
    (v, c) => c.inSmm || !blocks(v, BLOCKING_BY_SMI)),
  rule('guest.interruptibility.smm', 'with "entry to SMM", blocking by SMI is 1', [...INTERRUPTIBILITY, ...ENTRY_CONTROLS],
    (v) => !entryHas(v, ENTRY.ENTRY_TO_SMM) || blocks(v, BLOCKING_BY_SMI)),
];

// prettier-ignore
const blocking: RuleDraft[] = [
  rule('guest.interruptibility.virtual-nmi', 'with "virtual NMIs", blocking by NMI is 0 if an NMI is injected', [...INTERRUPTIBILITY, ...INJECTION, 'PIN_BASED_VM_EXEC_CONTROL'],
    (v) => injectedType(v) !== NMI || !pinHas(v, PIN.VIRTUAL_NMIS) || !blocks(v, BLOCKING_BY_NMI)),
  rule('guest.interruptibility.enclave', 'enclave interruption is 0 (the processor has no SGX)', INTERRUPTIBILITY,
    (v) => !blocks(v, ENCLAVE_INTERRUPTION)),
];

// A processor may or may not have this rule; ours does, and it alone has its own exit qualification.
// prettier-ignore
const nmiInjection: RuleDraft[] = [
  rule('guest.interruptibility.nmi-sti', 'STI does not block if an NMI is injected', [...INTERRUPTIBILITY, ...INJECTION],
    (v) => injectedType(v) !== NMI || !blocks(v, BLOCKING_BY_STI)),
];

const PENDING: readonly FieldName[] = ['GUEST_PENDING_DBG_EXCEPTIONS'];
const SINGLE_STEP: readonly FieldName[] = [
  ...PENDING,
  ...INTERRUPTIBILITY,
  'GUEST_ACTIVITY_STATE',
  'GUEST_RFLAGS',
  'GUEST_IA32_DEBUGCTL',
];
const PENDING_RTM = 1 << 16;
const pendingLow = (v: VmcsView): number => v.low(GUEST_PENDING_DBG_EXCEPTIONS);
const holdsDebugTraps = (v: VmcsView): boolean => blocks(v, STI_OR_MOV_SS) || activity(v) === ACTIVITY.hlt;
const singleSteps = (v: VmcsView): boolean =>
  (v.low(GUEST_RFLAGS) & RFLAGS_TF) !== 0 && (v.low(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF) === 0;

// prettier-ignore
const pendingDebug: RuleDraft[] = [
  rule('guest.pending-debug.reserved', 'bits 11:4, 13, 15 and 63:17 of the pending debug exceptions are 0', PENDING,
    (v) => (pendingLow(v) & 0xfffeaff0) === 0 && v.high(GUEST_PENDING_DBG_EXCEPTIONS) === 0),
  rule('guest.pending-debug.bs-set', 'under blocking by STI or MOV SS, or in HLT, BS is 1 if RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0', SINGLE_STEP,
    (v) => !holdsDebugTraps(v) || !singleSteps(v) || (pendingLow(v) & PENDING_BS) !== 0),
  rule('guest.pending-debug.bs-clear', 'under blocking by STI or MOV SS, or in HLT, BS is 0 if RFLAGS.TF is 0 or IA32_DEBUGCTL.BTF is 1', SINGLE_STEP,
    (v) => !holdsDebugTraps(v) || singleSteps(v) || (pendingLow(v) & PENDING_BS) === 0),
  rule('guest.pending-debug.rtm', 'RTM is 0 unless the processor supports RTM', PENDING,
    (v, c) => (pendingLow(v) & PENDING_RTM) === 0 || c.facts.rtm),
  rule('guest.pending-debug.rtm-alone', 'if RTM is 1, so is bit 12, and all other bits are 0', PENDING,
    (v) => (pendingLow(v) & PENDING_RTM) === 0 || pendingLow(v) === (PENDING_RTM | 0x1000)),
  rule('guest.pending-debug.rtm-mov-ss', 'if RTM is 1, MOV SS does not block', [...PENDING, ...INTERRUPTIBILITY],
    (v) => (pendingLow(v) & PENDING_RTM) === 0 || !blocks(v, BLOCKING_BY_MOV_SS)),
];

const linked: GroupCondition = {
  sentence: 'the VMCS link pointer is not FFFFFFFF_FFFFFFFFH',
  reads: ['VMCS_LINK_POINTER'],
  holds: (v) => v.low(VMCS_LINK_POINTER) !== 0xffffffff || v.high(VMCS_LINK_POINTER) !== 0xffffffff,
};
const LINK: readonly FieldName[] = ['VMCS_LINK_POINTER'];
const LINKED_REGION = 'the first 4 bytes of the VMCS region that the link pointer names';
const linkedWord = (v: VmcsView, c: EntryContext): number => c.readPhysical32(addressAt(v, VMCS_LINK_POINTER));

// prettier-ignore
const linkPointer: RuleDraft[] = [
  rule('guest.link-pointer.aligned', 'bits 11:0 of the VMCS link pointer are 0', LINK,
    (v) => (v.low(VMCS_LINK_POINTER) & 0xfff) === 0),
  rule('guest.link-pointer.width', 'the VMCS link pointer lies within the physical-address width', LINK,
    (v, c) => withinPhysicalWidth(v, VMCS_LINK_POINTER, c)),
  { ...rule('guest.link-pointer.revision', 'the linked region has the VMCS revision identifier of this processor', LINK,
    (v, c) => (linkedWord(v, c) & 0x7fffffff) === c.facts.revisionId), memory: LINKED_REGION },
  { ...rule('guest.link-pointer.shadow', 'the linked region is a shadow VMCS (bit 31) exactly if "VMCS shadowing" is 1', [...LINK, ...SECONDARY_READS],
    (v, c) => linkedWord(v, c) >>> 31 === (secondaryHas(v, SECONDARY.VMCS_SHADOWING) ? 1 : 0)), memory: LINKED_REGION },
  rule('guest.link-pointer.current', 'outside SMM or with "entry to SMM", the VMCS link pointer is not the current-VMCS pointer', [...LINK, ...ENTRY_CONTROLS],
    (v, c) => (c.inSmm && !entryHas(v, ENTRY.ENTRY_TO_SMM)) || addressAt(v, VMCS_LINK_POINTER) !== c.currentVmcs),
];

const paePaging: GroupCondition = {
  sentence: 'the guest will use PAE paging (CR0.PG and CR4.PAE without "IA-32e mode guest")',
  reads: ['GUEST_CR0', 'GUEST_CR4', ...ENTRY_CONTROLS],
  holds: (v) => (v.low(GUEST_CR0) & CR0_PG) !== 0 && (v.low(GUEST_CR4) & CR4_PAE) !== 0 && !ia32eGuest(v),
};

/** A present PDPTE has 0 in bits 2:1, 8:5 and beyond the physical-address width. */
function validPdpte(low: number, high: number, context: EntryContext): boolean {
  if ((low & 1) === 0) return true;
  return (low & 0x1e6) === 0 && high >>> (context.facts.physicalAddressWidth - 32) === 0;
}

function pdpteRules(index: 0 | 1 | 2 | 3): RuleDraft[] {
  const field: FieldName = `GUEST_PDPTR${index}`;
  const offset = OFFSET[field];
  const withEpt = (v: VmcsView): boolean => secondaryHas(v, SECONDARY.ENABLE_EPT);
  const address = (v: VmcsView): number => ((v.low(GUEST_CR3) & ~0x1f) >>> 0) + 8 * index;
  // prettier-ignore
  return [
    rule(`guest.pdpte${index}.field`, `with "enable EPT", PDPTE${index} in the VMCS, if present, sets no reserved bit`, [...SECONDARY_READS, field],
      (v, c) => !withEpt(v) || validPdpte(v.low(offset), v.high(offset), c)),
    { ...rule(`guest.pdpte${index}.memory`, `without "enable EPT", PDPTE${index} in memory at CR3, if present, sets no reserved bit`, [...SECONDARY_READS, 'GUEST_CR3'],
      (v, c) => withEpt(v) || validPdpte(c.readPhysical32(address(v)), c.readPhysical32(address(v) + 4), c)), memory: `PDPTE${index} of the table at CR3` },
  ];
}

export const GUEST_STATE_CHECKS: readonly EntryCheckGroup[] = [
  group('interruptibility', 'guest', SECTION.guestNonRegister, interruptibility, { again: 'saved' }),
  group('smm', 'guest', SECTION.guestNonRegister, smm, { again: 'each' }),
  group('blocking', 'guest', SECTION.guestNonRegister, blocking, { again: 'saved' }),
  group('nmi-injection', 'guest', SECTION.guestNonRegister, nmiInjection, {
    qualification: ENTRY_FAILURE_QUALIFICATION.nmiInjection,
    again: 'saved',
  }),
  group('pending-debug', 'guest', SECTION.guestNonRegister, pendingDebug, { again: 'saved' }),
  group('link-pointer', 'guest', SECTION.guestNonRegister, linkPointer, {
    when: linked,
    qualification: ENTRY_FAILURE_QUALIFICATION.linkPointer,
    again: 'each',
  }),
];

export const PDPTE_CHECKS: readonly EntryCheckGroup[] = [
  group('pdptes', 'pdpte', SECTION.guestPdptes, ([0, 1, 2, 3] as const).flatMap(pdpteRules), {
    when: paePaging,
    again: 'each',
  }),
];
