// SPDX-License-Identifier: Apache-2.0
// Table: where each field of vmcs02 comes from. vmcs01 is how L0 runs L1, vmcs12 how L1 wants L2 run, vmcs02 how the
// hardware runs L2. See: paper.md 2.4, and the paper's section 3.2

import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { FIELDS, OFFSET } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import {
  ACTIVITY,
  BLOCKING_BY_MOV_SS,
  BLOCKING_BY_NMI,
  BLOCKING_BY_STI,
  DEBUGCTL_BTF,
  PENDING_BS,
  RFLAGS_TF,
} from '../../arch/vmx/state-bits.ts';
import type { Halves } from '../../hardware/vmx.ts';
import type { Composition } from './composition.ts';
import { composeTscMultiplier, composeTscOffset } from './time-stamp-counter.ts';

/**
 * `from12`: as vmcs12 has it. `from01`: as vmcs01 has it. `merged`: of both. `composed`: vmcs12's, with L1-physical
 * turned into host-physical or L1's time into the processor's. `l0Owns`: L0's own. `information`: the processor writes
 * it, and it goes to vmcs12 when the exit is L1's. `absent`: no processor of ours has the field.
 */
export type OriginKind = 'from12' | 'from01' | 'merged' | 'composed' | 'l0Owns' | 'information' | 'absent';

/**
 * When the field is written: at `each` entry that L1 makes, when one of the `controls` that it is made of has changed
 * (CONTROLS_12, CONTROLS_01), when vmcs12's field has `changed`, or `once`. A field that an exit saves is still in vmcs02
 * when L1 resumes: only what L1 changed must be written again.
 */
export type WrittenWhen = 'each' | 'controls' | 'changed' | 'once' | 'never';

/** Fields of vmcs12 that rows written with `controls` read. */
// prettier-ignore
export const CONTROLS_12: readonly FieldName[] = [
  'PIN_BASED_VM_EXEC_CONTROL', 'CPU_BASED_VM_EXEC_CONTROL', 'SECONDARY_VM_EXEC_CONTROL', 'VM_ENTRY_CONTROLS',
  'EXCEPTION_BITMAP', 'PAGE_FAULT_ERROR_CODE_MASK', 'PAGE_FAULT_ERROR_CODE_MATCH', 'XSS_EXIT_BITMAP', 'TSC_MULTIPLIER',
  'VIRTUAL_APIC_PAGE_ADDR', 'APIC_ACCESS_ADDR', 'VMREAD_BITMAP', 'VMWRITE_BITMAP', 'VMCS_LINK_POINTER',
];
/** Fields of vmcs01 that they read. */
// prettier-ignore
export const CONTROLS_01: readonly FieldName[] = [
  'PIN_BASED_VM_EXEC_CONTROL', 'CPU_BASED_VM_EXEC_CONTROL', 'SECONDARY_VM_EXEC_CONTROL', 'VM_ENTRY_CONTROLS', 'VM_EXIT_CONTROLS',
  'EXCEPTION_BITMAP', 'XSS_EXIT_BITMAP', 'APIC_ACCESS_ADDR',
];

/** Computes the value, unsigned halves. */
export type Compose = (composition: Composition, out: Halves) => void;

export interface FieldOrigin {
  readonly field: FieldName;
  readonly kind: OriginKind;
  readonly written: WrittenWhen;
  readonly because: string;
  readonly compose: Compose | undefined;
  /** An exit to L1 copies the field back into vmcs12 as it is. What is saved under a condition is in leave-l2.ts. */
  readonly saved: boolean;
}

function row(
  field: FieldName,
  kind: OriginKind,
  written: WrittenWhen,
  because: string,
  compose?: Compose,
  saved = false,
): FieldOrigin {
  return { field, kind, written, because, compose, saved };
}

const copy12 =
  (field: FieldName): Compose =>
  (c, out) =>
    c.copy12(OFFSET[field], out);
const copy01 =
  (field: FieldName): Compose =>
  (c, out) =>
    c.copy01(OFFSET[field], out);
const value =
  (of: (c: Composition) => number): Compose =>
  (c, out) => {
    out.low = of(c) >>> 0;
    out.high = 0;
  };
const address =
  (of: (c: Composition) => number): Compose =>
  (c, out) => {
    const host = of(c);
    out.low = host >>> 0;
    out.high = Math.floor(host / 0x1_0000_0000);
  };

/** Guest state that L2 owns: from vmcs12, and back into it. */
const guest = (field: FieldName, because = "L2's own"): FieldOrigin =>
  row(field, 'from12', 'changed', because, copy12(field), true);
const from12 = (field: FieldName, because: string, written: WrittenWhen = 'changed'): FieldOrigin =>
  row(field, 'from12', written, because, copy12(field));
const from01 = (field: FieldName, because: string): FieldOrigin => row(field, 'from01', 'once', because, copy01(field));
const merged = (field: FieldName, compose: Compose, because: string): FieldOrigin =>
  row(field, 'merged', 'controls', because, compose);
const composed = (field: FieldName, compose: Compose, because: string): FieldOrigin =>
  row(field, 'composed', 'controls', because, compose);
/** Made of more than controls. */
const each = (origin: FieldOrigin): FieldOrigin => ({ ...origin, written: 'each' });
const l0Owns = (field: FieldName, of: number, because: string): FieldOrigin =>
  row(
    field,
    'l0Owns',
    'once',
    because,
    value(() => of),
  );
const information = (field: FieldName): FieldOrigin =>
  row(field, 'information', 'never', 'the processor writes it; exit-information.ts hands it on');
const absent = (field: FieldName): FieldOrigin =>
  row(field, 'absent', 'never', 'no profile has a control that brings it');
/** VMCS host state: where the hardware goes after each exit, and that is always L0. */
const host = (field: FieldName): FieldOrigin =>
  from01(field, "every exit goes to L0; vmcs12's is loaded into vmcs01 by leave-l2.ts");

// --- control fields, bit by bit

const NMI_BITS = PIN.NMI_EXITING | PIN.VIRTUAL_NMIS;
/** Taken from vmcs12 alone; what L0 wants of L1 it need not want of L2. */
const PIN_FROM_12 = PIN.ACTIVATE_VMX_PREEMPTION_TIMER;
const PRIMARY_FROM_12 =
  PRIMARY.INTERRUPT_WINDOW_EXITING |
  PRIMARY.NMI_WINDOW_EXITING |
  PRIMARY.HLT_EXITING |
  PRIMARY.INVLPG_EXITING |
  PRIMARY.CR3_LOAD_EXITING |
  PRIMARY.CR3_STORE_EXITING |
  PRIMARY.MONITOR_TRAP_FLAG;
const PRIMARY_DECIDED =
  PRIMARY.USE_IO_BITMAPS |
  PRIMARY.UNCONDITIONAL_IO_EXITING |
  PRIMARY.USE_MSR_BITMAPS |
  PRIMARY.USE_TSC_OFFSETTING |
  PRIMARY.USE_TPR_SHADOW |
  PRIMARY.CR8_LOAD_EXITING |
  PRIMARY.CR8_STORE_EXITING;
const CR8_BITS = PRIMARY.CR8_LOAD_EXITING | PRIMARY.CR8_STORE_EXITING;
const SECONDARY_FROM_12 =
  SECONDARY.VIRTUALIZE_APIC_ACCESSES |
  SECONDARY.DESCRIPTOR_TABLE_EXITING |
  SECONDARY.ENABLE_RDTSCP |
  SECONDARY.UNRESTRICTED_GUEST |
  SECONDARY.PAUSE_LOOP_EXITING |
  SECONDARY.ENABLE_INVPCID |
  SECONDARY.VMCS_SHADOWING |
  SECONDARY.ENABLE_XSAVES_XRSTORS |
  SECONDARY.USE_TSC_SCALING;
const SECONDARY_EITHER = SECONDARY.WBINVD_EXITING | SECONDARY.RDRAND_EXITING | SECONDARY.RDSEED_EXITING;
const PAGE_FAULT_BIT = 1 << 14;

/** With NMI exiting in vmcs12 its bits decide what IRET does to blocking by NMI; else L0 needs the window for its own. */
function pin(c: Composition): number {
  const nmi = c.pin12 & PIN.NMI_EXITING ? c.pin12 & NMI_BITS : NMI_BITS;
  return (c.pin01 & ~(NMI_BITS | PIN_FROM_12)) | PIN.EXTERNAL_INTERRUPT_EXITING | nmi | (c.pin12 & PIN_FROM_12);
}

function primary(c: Composition): number {
  let bits = (c.primary01 | c.primary12) & ~(PRIMARY_FROM_12 | PRIMARY_DECIDED);
  bits |= c.primary12 & (PRIMARY_FROM_12 | CR8_BITS);
  bits |= PRIMARY.USE_TSC_OFFSETTING | PRIMARY.ACTIVATE_SECONDARY_CONTROLS;
  bits |= c.tprShadow02 ? PRIMARY.USE_TPR_SHADOW : CR8_BITS;
  if (c.io === 'exit on all') bits |= PRIMARY.UNCONDITIONAL_IO_EXITING;
  if (c.io === 'merged') bits |= PRIMARY.USE_IO_BITMAPS;
  if (c.msr === 'merged') bits |= PRIMARY.USE_MSR_BITMAPS;
  return bits;
}

/** Without APIC accesses of its own, L2 under shadow-on-EPT meets L1's local APIC where EPT01 has L0's APIC-access page. */
const apicAccesses01 = (c: Composition): boolean => !c.ept12 && !c.has12(SECONDARY.VIRTUALIZE_APIC_ACCESSES);

function secondary(c: Composition): number {
  const bits =
    SECONDARY.ENABLE_EPT |
    SECONDARY.ENABLE_VPID |
    (c.secondary12 & SECONDARY_FROM_12) |
    ((c.secondary01 | c.secondary12) & SECONDARY_EITHER);
  return apicAccesses01(c) ? bits | (c.secondary01 & SECONDARY.VIRTUALIZE_APIC_ACCESSES) : bits;
}

function exitControls(c: Composition): number {
  return c.exit01 | EXIT.SAVE_DEBUG_CONTROLS | (c.timer12 ? EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE : 0);
}

const entryControls = (c: Composition): number =>
  (c.entry01 & ~ENTRY.IA32E_MODE_GUEST) | ENTRY.LOAD_DEBUG_CONTROLS | (c.entry12 & ENTRY.IA32E_MODE_GUEST);

const exceptionBitmap = (c: Composition): number =>
  c.v01.low(OFFSET.EXCEPTION_BITMAP) | c.v12.low(OFFSET.EXCEPTION_BITMAP) | (c.pageFaults01 ? PAGE_FAULT_BIT : 0);

/** Either hypervisor's page faults: all of them exit if L0 wants any, and L1's filter is applied to what exits. */
const pageFaultFilter = (field: FieldName): Compose => value((c) => (c.pageFaults01 ? 0 : c.v12.low(OFFSET[field])));

const loadedOr01 =
  (field: FieldName, control: number): Compose =>
  (c, out) =>
    c.entry12 & control ? c.copy12(OFFSET[field], out) : c.copy01(OFFSET[field], out);

const eptPointer: Compose = (c, out) => {
  const eptp12 = { low: c.v12.low(OFFSET.EPT_POINTER), high: c.v12.high(OFFSET.EPT_POINTER) };
  c.ports.eptPointer(c.ept12 ? eptp12 : undefined, out);
};

/** Shadow-on-EPT: L2 was entered without EPT, so its page-directory pointers are in memory; the hardware wants the field. */
const pdpte = (index: 0 | 1 | 2 | 3): FieldOrigin => {
  const field = `GUEST_PDPTR${index}` as const;
  return row(field, 'composed', 'each', "with EPT12 L2's own; without, what L1's memory has at CR3", (c, out) => {
    if (c.ept12 || !c.pae12) c.copy12(OFFSET[field], out);
    else c.ports.pdpte(c.cr3Low12(), index, out);
  });
};

/**
 * Where L1 leaves NMIs to L2, L0 has virtual NMIs, which are not injected while NMIs are blocked; L1 may do that. The
 * injected NMI blocks others again.
 */
const interruptibility: Compose = (c, out) => {
  c.copy12(OFFSET.GUEST_INTERRUPTIBILITY_INFO, out);
  const injectsNmi = (c.v12.low(OFFSET.VM_ENTRY_INTR_INFO_FIELD) & 0x80000700) >>> 0 === 0x80000200;
  if (injectsNmi && (c.pin12 & PIN.NMI_EXITING) === 0) out.low &= ~BLOCKING_BY_NMI;
};

/** Under blocking by STI or MOV SS or in HLT, BS goes by the IA32_DEBUGCTL that is loaded: without the control, L1's. */
const pendingDebugExceptions: Compose = (c, out) => {
  const { v01, v12 } = c;
  c.copy12(OFFSET.GUEST_PENDING_DBG_EXCEPTIONS, out);
  const held = (v12.low(OFFSET.GUEST_INTERRUPTIBILITY_INFO) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) !== 0;
  if (c.entry12 & ENTRY.LOAD_DEBUG_CONTROLS || !(held || v12.low(OFFSET.GUEST_ACTIVITY_STATE) === ACTIVITY.hlt)) return;
  const traps = (v12.low(OFFSET.GUEST_RFLAGS) & RFLAGS_TF) !== 0;
  const steps = traps && (v01.low(OFFSET.GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF) === 0;
  out.low = steps ? out.low | PENDING_BS : out.low & ~PENDING_BS;
};

const linkPointer: Compose = (c, out) => {
  const linked =
    c.shadowing12 &&
    !(c.v12.low(OFFSET.VMCS_LINK_POINTER) === 0xffffffff && c.v12.high(OFFSET.VMCS_LINK_POINTER) === 0xffffffff);
  if (linked) address(() => c.ports.hostPage(c.address12(OFFSET.VMCS_LINK_POINTER)))(c, out);
  else out.low = out.high = 0xffffffff;
};

const pageOf12 = (field: FieldName, used: (c: Composition) => boolean): Compose =>
  address((c) => (used(c) ? c.ports.hostPage(c.address12(OFFSET[field])) : 0));

// prettier-ignore
export const FIELD_ORIGINS: readonly FieldOrigin[] = [
  // 16-bit control fields
  each(composed('VIRTUAL_PROCESSOR_ID', value((c) => c.ports.vpid(c.has12(SECONDARY.ENABLE_VPID) ? c.v12.low(OFFSET.VIRTUAL_PROCESSOR_ID) : 0)), 'L1 numbers its guests freely; the tags are L0\'s')),
  absent('POSTED_INTR_NV'),
  absent('EPTP_INDEX'),
  absent('HLAT_PREFIX_SIZE'),
  absent('LAST_PID_POINTER_INDEX'),
  // 16-bit guest-state fields
  guest('GUEST_ES_SELECTOR'), guest('GUEST_CS_SELECTOR'), guest('GUEST_SS_SELECTOR'), guest('GUEST_DS_SELECTOR'),
  guest('GUEST_FS_SELECTOR'), guest('GUEST_GS_SELECTOR'), guest('GUEST_LDTR_SELECTOR'), guest('GUEST_TR_SELECTOR'),
  absent('GUEST_INTR_STATUS'),
  absent('GUEST_PML_INDEX'),
  absent('GUEST_UINV'),
  // 16-bit host-state fields
  host('HOST_ES_SELECTOR'), host('HOST_CS_SELECTOR'), host('HOST_SS_SELECTOR'), host('HOST_DS_SELECTOR'),
  host('HOST_FS_SELECTOR'), host('HOST_GS_SELECTOR'), host('HOST_TR_SELECTOR'),
  // 64-bit control fields
  composed('IO_BITMAP_A', address((c) => (c.io === 'merged' ? c.ports.ioBitmapA : 0)), 'a page of L0\'s with the or of both'),
  composed('IO_BITMAP_B', address((c) => (c.io === 'merged' ? c.ports.ioBitmapB : 0)), 'a page of L0\'s with the or of both'),
  composed('MSR_BITMAP', address((c) => (c.msr === 'merged' ? c.ports.msrBitmap : 0)), 'a page of L0\'s with the or of both'),
  l0Owns('VM_EXIT_MSR_STORE_ADDR', 0, 'vmcs12\'s list is processed by leave-l2.ts'),
  l0Owns('VM_EXIT_MSR_LOAD_ADDR', 0, 'vmcs12\'s list is processed by leave-l2.ts'),
  from01('VM_ENTRY_MSR_LOAD_ADDR', 'IA32_EFER, where the hardware has no field for it; vmcs12\'s list is processed by enter-l2.ts'),
  l0Owns('EXECUTIVE_VMCS_POINTER', 0, 'for the dual-monitor treatment, which there is not'),
  absent('PML_ADDRESS'),
  each(composed('TSC_OFFSET', composeTscOffset, 'offsets add up, level by level')),
  composed('VIRTUAL_APIC_PAGE_ADDR', pageOf12('VIRTUAL_APIC_PAGE_ADDR', (c) => c.tprShadow12), 'L1\'s page, where the machine has it'),
  composed('APIC_ACCESS_ADDR', (c, out) => {
    if (apicAccesses01(c)) c.copy01(OFFSET.APIC_ACCESS_ADDR, out);
    else address(() => (c.has12(SECONDARY.VIRTUALIZE_APIC_ACCESSES) ? c.ports.apicAccessPage(c.address12(OFFSET.APIC_ACCESS_ADDR)) : 0))(c, out);
  }, 'L1\'s page, where the machine has it: EPT02 leads to the same'),
  absent('POSTED_INTR_DESC_ADDR'),
  absent('VM_FUNCTION_CONTROL'),
  each(composed('EPT_POINTER', eptPointer, 'multi-dimensional paging: EPT12 ∘ EPT01; without EPT12, EPT01')),
  absent('EOI_EXIT_BITMAP0'), absent('EOI_EXIT_BITMAP1'), absent('EOI_EXIT_BITMAP2'), absent('EOI_EXIT_BITMAP3'),
  absent('EPTP_LIST_ADDRESS'),
  composed('VMREAD_BITMAP', pageOf12('VMREAD_BITMAP', (c) => c.shadowing12), 'L2 is a hypervisor whose VMREADs L1 lets pass'),
  composed('VMWRITE_BITMAP', pageOf12('VMWRITE_BITMAP', (c) => c.shadowing12), 'the same for VMWRITE'),
  absent('VE_INFORMATION_ADDRESS'),
  merged('XSS_EXIT_BITMAP', (c, out) => c.or(OFFSET.XSS_EXIT_BITMAP, out), 'either hypervisor may want the exit'),
  absent('ENCLS_EXITING_BITMAP'),
  absent('SPP_TABLE_POINTER'),
  composed('TSC_MULTIPLIER', composeTscMultiplier, 'L0 does not scale: L1\'s'),
  absent('TERTIARY_VM_EXEC_CONTROL'),
  absent('ENCLV_EXITING_BITMAP'),
  absent('LOW_PASID_DIRECTORY_ADDRESS'), absent('HIGH_PASID_DIRECTORY_ADDRESS'),
  absent('SHARED_EPT_POINTER'),
  absent('PCONFIG_EXITING_BITMAP'),
  absent('HLAT_POINTER'),
  absent('PID_POINTER_TABLE'),
  absent('SECONDARY_VM_EXIT_CONTROLS'),
  absent('IA32_SPEC_CTRL_MASK'), absent('IA32_SPEC_CTRL_SHADOW'),
  // 64-bit read-only data field
  information('GUEST_PHYSICAL_ADDRESS'),
  // 64-bit guest-state fields
  composed('VMCS_LINK_POINTER', linkPointer, 'vmcs12\'s shadow VMCS, where the machine has it; all ones without VMCS shadowing'),
  row('GUEST_IA32_DEBUGCTL', 'merged', 'each', 'without "load debug controls" L2 goes on with what L1 has', loadedOr01('GUEST_IA32_DEBUGCTL', ENTRY.LOAD_DEBUG_CONTROLS)),
  row('GUEST_IA32_PAT', 'merged', 'each', 'without "load IA32_PAT" L2 goes on with what L1 has', loadedOr01('GUEST_IA32_PAT', ENTRY.LOAD_IA32_PAT)),
  row('GUEST_IA32_EFER', 'l0Owns', 'never', 'enter-l2.ts works IA32_EFER out: where it goes depends on the hardware'),
  absent('GUEST_IA32_PERF_GLOBAL_CTRL'),
  pdpte(0), pdpte(1), pdpte(2), pdpte(3),
  absent('GUEST_BNDCFGS'),
  absent('GUEST_IA32_RTIT_CTL'),
  absent('GUEST_IA32_LBR_CTL'),
  absent('GUEST_IA32_PKRS'),
  // 64-bit host-state fields
  host('HOST_IA32_PAT'),
  host('HOST_IA32_EFER'),
  absent('HOST_IA32_PERF_GLOBAL_CTRL'),
  absent('HOST_IA32_PKRS'),
  // 32-bit control fields
  merged('PIN_BASED_VM_EXEC_CONTROL', value(pin), 'interrupts are L0\'s; what NMIs do follows vmcs12; the timer is L1\'s'),
  merged('CPU_BASED_VM_EXEC_CONTROL', value(primary), 'either hypervisor may want the exit; windows, HLT and CR3 only as L1 wants; without TPR shadow CR8 must exit'),
  merged('EXCEPTION_BITMAP', value(exceptionBitmap), 'either hypervisor may want the fault'),
  merged('PAGE_FAULT_ERROR_CODE_MASK', pageFaultFilter('PAGE_FAULT_ERROR_CODE_MASK'), 'L1\'s filter, unless L0 wants page faults itself'),
  merged('PAGE_FAULT_ERROR_CODE_MATCH', pageFaultFilter('PAGE_FAULT_ERROR_CODE_MATCH'), 'L1\'s filter, unless L0 wants page faults itself'),
  from12('CR3_TARGET_COUNT', 'in both paging schemes CR3 is L2\'s own'),
  merged('VM_EXIT_CONTROLS', value(exitControls), 'the exit goes to L0; the timer\'s value must survive exits that L1 does not see'),
  l0Owns('VM_EXIT_MSR_STORE_COUNT', 0, 'vmcs12\'s list is processed by leave-l2.ts'),
  l0Owns('VM_EXIT_MSR_LOAD_COUNT', 0, 'vmcs12\'s list is processed by leave-l2.ts'),
  each(merged('VM_ENTRY_CONTROLS', value(entryControls), 'L0 loads what L2 is to have; IA-32e mode is L2\'s')),
  from01('VM_ENTRY_MSR_LOAD_COUNT', 'as its address'),
  from12('VM_ENTRY_INTR_INFO_FIELD', 'the event that L1 injects: once, at L1\'s entry', 'each'),
  from12('VM_ENTRY_EXCEPTION_ERROR_CODE', 'as the event', 'each'),
  from12('VM_ENTRY_INSTRUCTION_LEN', 'as the event', 'each'),
  from12('TPR_THRESHOLD', 'counts only with L1\'s TPR shadow', 'each'),
  merged('SECONDARY_VM_EXEC_CONTROL', value(secondary), 'EPT and VPID are L0\'s; what changes instructions is as L1 wants; exits are or-ed'),
  from12('PLE_GAP', 'PAUSE-loop exiting is on only for L1'),
  from12('PLE_WINDOW', 'PAUSE-loop exiting is on only for L1'),
  absent('INSTRUCTION_TIMEOUT_CONTROL'),
  // 32-bit read-only data fields
  information('VM_INSTRUCTION_ERROR'),
  information('VM_EXIT_REASON'),
  information('VM_EXIT_INTR_INFO'),
  information('VM_EXIT_INTR_ERROR_CODE'),
  information('IDT_VECTORING_INFO_FIELD'),
  information('IDT_VECTORING_ERROR_CODE'),
  information('VM_EXIT_INSTRUCTION_LEN'),
  information('VMX_INSTRUCTION_INFO'),
  // 32-bit guest-state fields
  guest('GUEST_ES_LIMIT'), guest('GUEST_CS_LIMIT'), guest('GUEST_SS_LIMIT'), guest('GUEST_DS_LIMIT'), guest('GUEST_FS_LIMIT'),
  guest('GUEST_GS_LIMIT'), guest('GUEST_LDTR_LIMIT'), guest('GUEST_TR_LIMIT'), guest('GUEST_GDTR_LIMIT'), guest('GUEST_IDTR_LIMIT'),
  guest('GUEST_ES_AR_BYTES'), guest('GUEST_CS_AR_BYTES'), guest('GUEST_SS_AR_BYTES'), guest('GUEST_DS_AR_BYTES'),
  guest('GUEST_FS_AR_BYTES'), guest('GUEST_GS_AR_BYTES'), guest('GUEST_LDTR_AR_BYTES'), guest('GUEST_TR_AR_BYTES'),
  row('GUEST_INTERRUPTIBILITY_INFO', 'from12', 'each', 'L2\'s own; what blocks L1 is in vmcs01', interruptibility, true),
  guest('GUEST_ACTIVITY_STATE', 'L2 halts in hardware: whatever wakes it is an exit'),
  l0Owns('GUEST_SMBASE', 0, 'loaded only from SMM; vmcs12 keeps what L1 wrote'),
  guest('GUEST_SYSENTER_CS'),
  row('VMX_PREEMPTION_TIMER_VALUE', 'from12', 'each', 'the timer runs in hardware; vmcs12 keeps its value unless L1 wants it saved', copy12('VMX_PREEMPTION_TIMER_VALUE')),
  // 32-bit host-state field
  host('HOST_IA32_SYSENTER_CS'),
  // natural-width control fields
  from12('CR0_GUEST_HOST_MASK', 'with EPT L0 needs none of L2\'s CR0; what VMX operation fixes holds for L1 as well'),
  from12('CR4_GUEST_HOST_MASK', 'with EPT L0 needs none of L2\'s CR4'),
  from12('CR0_READ_SHADOW', 'as the mask'),
  from12('CR4_READ_SHADOW', 'as the mask'),
  from12('CR3_TARGET_VALUE0', 'in both paging schemes CR3 is L2\'s own'),
  from12('CR3_TARGET_VALUE1', 'in both paging schemes CR3 is L2\'s own'),
  from12('CR3_TARGET_VALUE2', 'in both paging schemes CR3 is L2\'s own'),
  from12('CR3_TARGET_VALUE3', 'in both paging schemes CR3 is L2\'s own'),
  // natural-width read-only data fields
  information('EXIT_QUALIFICATION'),
  information('IO_RCX'), information('IO_RSI'), information('IO_RDI'), information('IO_RIP'),
  information('GUEST_LINEAR_ADDRESS'),
  // natural-width guest-state fields
  guest('GUEST_CR0'),
  guest('GUEST_CR3', 'under shadow-on-EPT it leads to L1\'s shadow tables'),
  guest('GUEST_CR4'),
  guest('GUEST_ES_BASE'), guest('GUEST_CS_BASE'), guest('GUEST_SS_BASE'), guest('GUEST_DS_BASE'), guest('GUEST_FS_BASE'),
  guest('GUEST_GS_BASE'), guest('GUEST_LDTR_BASE'), guest('GUEST_TR_BASE'), guest('GUEST_GDTR_BASE'), guest('GUEST_IDTR_BASE'),
  row('GUEST_DR7', 'merged', 'each', 'without "load debug controls" L2 goes on with what L1 has', loadedOr01('GUEST_DR7', ENTRY.LOAD_DEBUG_CONTROLS)),
  guest('GUEST_RSP'), guest('GUEST_RIP'), guest('GUEST_RFLAGS'),
  row('GUEST_PENDING_DBG_EXCEPTIONS', 'from12', 'each', "L2's own, with BS as the IA32_DEBUGCTL that L2 will have wants it", pendingDebugExceptions, true),
  guest('GUEST_SYSENTER_ESP'), guest('GUEST_SYSENTER_EIP'),
  absent('GUEST_S_CET'), absent('GUEST_SSP'), absent('GUEST_INTR_SSP_TABLE'),
  // natural-width host-state fields
  host('HOST_CR0'), host('HOST_CR3'), host('HOST_CR4'),
  host('HOST_FS_BASE'), host('HOST_GS_BASE'), host('HOST_TR_BASE'), host('HOST_GDTR_BASE'), host('HOST_IDTR_BASE'),
  host('HOST_IA32_SYSENTER_ESP'), host('HOST_IA32_SYSENTER_EIP'), host('HOST_RSP'), host('HOST_RIP'),
  absent('HOST_S_CET'), absent('HOST_SSP'), absent('HOST_INTR_SSP_TABLE'),
];

const BY_FIELD = new Map(FIELD_ORIGINS.map((origin) => [origin.field, origin]));

/** The row of a field. */
export function originOf(field: FieldName): FieldOrigin {
  return BY_FIELD.get(field) as FieldOrigin;
}

/** Fields without a row; a test wants none. */
export const FIELDS_WITHOUT_ORIGIN: readonly FieldName[] = FIELDS.map((field) => field.name).filter(
  (name) => !BY_FIELD.has(name),
);
