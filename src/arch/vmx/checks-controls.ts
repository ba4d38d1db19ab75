// SPDX-License-Identifier: Apache-2.0
// VM-entry rules for the control fields. A broken rule is VMfailValid 7.

import { BASIC_HIGH, EPT_CAP, MISC } from './capabilities.ts';
import { extract } from './bit-field.ts';
import type { BitField } from './bit-field.ts';
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.ts';
import {
  PRIMARY_READS,
  SECONDARY_READS,
  entryHas,
  exitHas,
  group,
  pinHas,
  primaryHas,
  rule,
  secondaryHas,
  unrestricted,
  withinPhysicalWidth,
} from './entry-check-row.ts';
import type { EntryCheckGroup, GroupCondition, Holds, RuleDraft } from './entry-check-row.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import type { EntryContext } from './processor-facts.ts';
import { SECTION } from './sections.ts';
import { addressAt } from './vmcs-view.ts';
import type { VmcsView } from './vmcs-view.ts';

const { PIN_BASED_VM_EXEC_CONTROL, CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL } = OFFSET;
const { VM_EXIT_CONTROLS, VM_ENTRY_CONTROLS, CR3_TARGET_COUNT, TPR_THRESHOLD, VIRTUAL_APIC_PAGE_ADDR } = OFFSET;
const { VM_ENTRY_INTR_INFO_FIELD, VM_ENTRY_EXCEPTION_ERROR_CODE, VM_ENTRY_INSTRUCTION_LEN, GUEST_CR0 } = OFFSET;
const { POSTED_INTR_NV, VIRTUAL_PROCESSOR_ID, EPT_POINTER, VM_FUNCTION_CONTROL } = OFFSET;

type Condition = readonly [title: string, reads: readonly FieldName[], holds: (view: VmcsView) => boolean];

const whenPrimary = (title: string, mask: number): Condition => [title, PRIMARY_READS, (v) => primaryHas(v, mask)];
const whenSecondary = (title: string, mask: number): Condition => [
  title,
  SECONDARY_READS,
  (v) => secondaryHas(v, mask),
];

/** An address that a control makes the processor use: aligned, and within the physical-address width. */
function pointer(id: string, field: FieldName, what: string, alignment: number, condition: Condition): RuleDraft[] {
  const [title, conditionReads, applies] = condition;
  const reads = [...conditionReads, field];
  const offset = OFFSET[field];
  return [
    rule(`${id}.aligned`, `with "${title}", ${what} is ${alignment}-byte aligned`, reads, (v) =>
      applies(v) ? (v.low(offset) & (alignment - 1)) === 0 : true,
    ),
    rule(`${id}.width`, `with "${title}", ${what} lies within the physical-address width`, reads, (v, c) =>
      applies(v) ? withinPhysicalWidth(v, offset, c) : true,
    ),
  ];
}

/** If one secondary control is 1, so is another: "unrestricted guest" needs "enable EPT". */
function needs(id: string, sentence: string, mask: number, needed: number): RuleDraft {
  return rule(id, sentence, SECONDARY_READS, (v) => !secondaryHas(v, mask) || secondaryHas(v, needed));
}

// prettier-ignore
const execution: RuleDraft[] = [
  rule('controls.pin.must-be-1', 'pin-based controls that the processor fixes to 1 are 1', ['PIN_BASED_VM_EXEC_CONTROL'],
    (v, c) => (~v.low(PIN_BASED_VM_EXEC_CONTROL) & c.facts.pinMustBeOne) === 0),
  rule('controls.pin.may-be-1', 'pin-based controls that the processor does not support are 0', ['PIN_BASED_VM_EXEC_CONTROL'],
    (v, c) => (v.low(PIN_BASED_VM_EXEC_CONTROL) & ~c.facts.pinMayBeOne) === 0),
  rule('controls.primary.must-be-1', 'primary processor-based controls that the processor fixes to 1 are 1', PRIMARY_READS,
    (v, c) => (~v.low(CPU_BASED_VM_EXEC_CONTROL) & c.facts.primaryMustBeOne) === 0),
  rule('controls.primary.may-be-1', 'primary processor-based controls that the processor does not support are 0', PRIMARY_READS,
    (v, c) => (v.low(CPU_BASED_VM_EXEC_CONTROL) & ~c.facts.primaryMayBeOne) === 0),
  rule('controls.secondary.may-be-1', 'secondary processor-based controls that the processor does not support are 0', SECONDARY_READS,
    (v, c) => !primaryHas(v, PRIMARY.ACTIVATE_SECONDARY_CONTROLS) || (v.low(SECONDARY_VM_EXEC_CONTROL) & ~c.facts.secondaryMayBeOne) === 0),
  rule('controls.cr3-target-count', 'the CR3-target count is at most what IA32_VMX_MISC reports (4)', ['CR3_TARGET_COUNT'],
    (v, c) => v.low(CR3_TARGET_COUNT) <= extract(MISC.CR3_TARGET_VALUES, c.facts.misc)),
  ...pointer('controls.io-bitmap-a', 'IO_BITMAP_A', 'the address of I/O bitmap A', 4096, whenPrimary('use I/O bitmaps', PRIMARY.USE_IO_BITMAPS)),
  ...pointer('controls.io-bitmap-b', 'IO_BITMAP_B', 'the address of I/O bitmap B', 4096, whenPrimary('use I/O bitmaps', PRIMARY.USE_IO_BITMAPS)),
  ...pointer('controls.msr-bitmap', 'MSR_BITMAP', 'the address of the MSR bitmaps', 4096, whenPrimary('use MSR bitmaps', PRIMARY.USE_MSR_BITMAPS)),
  ...pointer('controls.virtual-apic', 'VIRTUAL_APIC_PAGE_ADDR', 'the virtual-APIC address', 4096, whenPrimary('use TPR shadow', PRIMARY.USE_TPR_SHADOW)),
  rule('controls.tpr-threshold.reserved', 'with "use TPR shadow" and without "virtual-interrupt delivery", bits 31:4 of the TPR threshold are 0',
    [...SECONDARY_READS, 'TPR_THRESHOLD'],
    (v) => !primaryHas(v, PRIMARY.USE_TPR_SHADOW) || secondaryHas(v, SECONDARY.VIRTUAL_INTERRUPT_DELIVERY) || (v.low(TPR_THRESHOLD) & 0xfffffff0) === 0),
  rule('controls.virtual-nmis', '"virtual NMIs" is 0 unless "NMI exiting" is 1', ['PIN_BASED_VM_EXEC_CONTROL'],
    (v) => pinHas(v, PIN.NMI_EXITING) || !pinHas(v, PIN.VIRTUAL_NMIS)),
  rule('controls.nmi-window', '"NMI-window exiting" is 0 unless "virtual NMIs" is 1', ['PIN_BASED_VM_EXEC_CONTROL', ...PRIMARY_READS],
    (v) => pinHas(v, PIN.VIRTUAL_NMIS) || !primaryHas(v, PRIMARY.NMI_WINDOW_EXITING)),
  rule('controls.x2apic-mode.tpr-shadow', '"virtualize x2APIC mode" is 0 unless "use TPR shadow" is 1', SECONDARY_READS,
    (v) => primaryHas(v, PRIMARY.USE_TPR_SHADOW) || !secondaryHas(v, SECONDARY.VIRTUALIZE_X2APIC_MODE)),
  rule('controls.apic-register.tpr-shadow', '"APIC-register virtualization" is 0 unless "use TPR shadow" is 1', SECONDARY_READS,
    (v) => primaryHas(v, PRIMARY.USE_TPR_SHADOW) || !secondaryHas(v, SECONDARY.APIC_REGISTER_VIRTUALIZATION)),
  rule('controls.virtual-interrupt-delivery.tpr-shadow', '"virtual-interrupt delivery" is 0 unless "use TPR shadow" is 1', SECONDARY_READS,
    (v) => primaryHas(v, PRIMARY.USE_TPR_SHADOW) || !secondaryHas(v, SECONDARY.VIRTUAL_INTERRUPT_DELIVERY)),
  rule('controls.posted-interrupts.delivery', '"process posted interrupts" needs "virtual-interrupt delivery"', ['PIN_BASED_VM_EXEC_CONTROL', ...SECONDARY_READS],
    (v) => !pinHas(v, PIN.PROCESS_POSTED_INTERRUPTS) || secondaryHas(v, SECONDARY.VIRTUAL_INTERRUPT_DELIVERY)),
  rule('controls.posted-interrupts.acknowledge', '"process posted interrupts" needs "acknowledge interrupt on exit"', ['PIN_BASED_VM_EXEC_CONTROL', 'VM_EXIT_CONTROLS'],
    (v) => !pinHas(v, PIN.PROCESS_POSTED_INTERRUPTS) || exitHas(v, EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT)),
  rule('controls.posted-interrupts.vector', 'with "process posted interrupts", the notification vector is below 256', ['PIN_BASED_VM_EXEC_CONTROL', 'POSTED_INTR_NV'],
    (v) => !pinHas(v, PIN.PROCESS_POSTED_INTERRUPTS) || v.low(POSTED_INTR_NV) <= 0xff),
  ...pointer('controls.posted-interrupts.descriptor', 'POSTED_INTR_DESC_ADDR', 'the posted-interrupt descriptor address', 64,
    ['process posted interrupts', ['PIN_BASED_VM_EXEC_CONTROL'], (v) => pinHas(v, PIN.PROCESS_POSTED_INTERRUPTS)]),
];

const comparesVtpr: GroupCondition = {
  sentence: '"use TPR shadow" is 1, "virtualize APIC accesses" and "virtual-interrupt delivery" are 0',
  reads: SECONDARY_READS,
  holds: (v) =>
    primaryHas(v, PRIMARY.USE_TPR_SHADOW) &&
    !secondaryHas(v, SECONDARY.VIRTUAL_INTERRUPT_DELIVERY | SECONDARY.VIRTUALIZE_APIC_ACCESSES),
};
const vtpr = (v: VmcsView, c: EntryContext): number => c.readPhysical32(addressAt(v, VIRTUAL_APIC_PAGE_ADDR) + 0x80);

// prettier-ignore
const tprThreshold: RuleDraft[] = [
  { ...rule('controls.tpr-threshold.vtpr', 'with "use TPR shadow" and without "virtualize APIC accesses" and "virtual-interrupt delivery", the TPR threshold is not above bits 7:4 of VTPR',
    ['TPR_THRESHOLD', 'VIRTUAL_APIC_PAGE_ADDR'],
    (v, c) => (v.low(TPR_THRESHOLD) & 0xf) <= ((vtpr(v, c) >>> 4) & 0xf)), memory: 'VTPR, at offset 80H of the virtual-APIC page' },
];

const secondaryActive: GroupCondition = {
  sentence: 'secondary controls are activated and at least one is 1',
  reads: SECONDARY_READS,
  holds: (v) => secondaryHas(v, 0xffffffff),
};

const whenEpt = (v: VmcsView): boolean => secondaryHas(v, SECONDARY.ENABLE_EPT);
const EPTP_READS: readonly FieldName[] = [...SECONDARY_READS, 'EPT_POINTER'];
const eptCan = (context: EntryContext, capability: BitField): boolean =>
  extract(capability, context.facts.eptCapabilities) !== 0;

const eptpMemoryType: Holds = (v, c) => {
  const type = v.low(EPT_POINTER) & 7;
  if (type === 0) return eptCan(c, EPT_CAP.MEMORY_TYPE_UC);
  return type === 6 && eptCan(c, EPT_CAP.MEMORY_TYPE_WB);
};

const eptpWalkLength: Holds = (v, c) => {
  const lengthMinus1 = (v.low(EPT_POINTER) >>> 3) & 7;
  if (lengthMinus1 === 3) return eptCan(c, EPT_CAP.PAGE_WALK_LENGTH_4);
  return lengthMinus1 === 4 && eptCan(c, EPT_CAP.PAGE_WALK_LENGTH_5);
};

const eptpReserved: Holds = (v, c) =>
  (v.low(EPT_POINTER) & (eptCan(c, EPT_CAP.SUPERVISOR_SHADOW_STACK) ? 0xf00 : 0xf80)) === 0;

const VMFUNC_EPTP_SWITCHING = 1;
const eptpSwitching = (v: VmcsView): boolean =>
  secondaryHas(v, SECONDARY.ENABLE_VM_FUNCTIONS) && (v.low(VM_FUNCTION_CONTROL) & VMFUNC_EPTP_SWITCHING) !== 0;
const VMFUNC_READS: readonly FieldName[] = [...SECONDARY_READS, 'VM_FUNCTION_CONTROL'];

// prettier-ignore
const secondary: RuleDraft[] = [
  ...pointer('controls.apic-access', 'APIC_ACCESS_ADDR', 'the APIC-access address', 4096, whenSecondary('virtualize APIC accesses', SECONDARY.VIRTUALIZE_APIC_ACCESSES)),
  rule('controls.x2apic-mode.apic-accesses', '"virtualize x2APIC mode" and "virtualize APIC accesses" are not both 1', SECONDARY_READS,
    (v) => !secondaryHas(v, SECONDARY.VIRTUALIZE_X2APIC_MODE) || !secondaryHas(v, SECONDARY.VIRTUALIZE_APIC_ACCESSES)),
  rule('controls.virtual-interrupt-delivery.external-interrupt', '"virtual-interrupt delivery" needs "external-interrupt exiting"', ['PIN_BASED_VM_EXEC_CONTROL', ...SECONDARY_READS],
    (v) => !secondaryHas(v, SECONDARY.VIRTUAL_INTERRUPT_DELIVERY) || pinHas(v, PIN.EXTERNAL_INTERRUPT_EXITING)),
  rule('controls.vpid', 'with "enable VPID", the VPID is not 0000H', [...SECONDARY_READS, 'VIRTUAL_PROCESSOR_ID'],
    (v) => !secondaryHas(v, SECONDARY.ENABLE_VPID) || v.low(VIRTUAL_PROCESSOR_ID) !== 0),
  rule('controls.eptp.memory-type', 'with "enable EPT", bits 2:0 of the EPTP are a memory type that the processor supports (0 or 6)', EPTP_READS,
    (v, c) => !whenEpt(v) || eptpMemoryType(v, c)),
  rule('controls.eptp.walk-length', 'with "enable EPT", bits 5:3 of the EPTP are 1 less than a page-walk length that the processor supports', EPTP_READS,
    (v, c) => !whenEpt(v) || eptpWalkLength(v, c)),
  rule('controls.eptp.accessed-dirty', 'with "enable EPT", bit 6 of the EPTP is 0 unless the processor supports accessed and dirty flags for EPT', EPTP_READS,
    (v, c) => !whenEpt(v) || (v.low(EPT_POINTER) & 0x40) === 0 || eptCan(c, EPT_CAP.ACCESSED_DIRTY)),
  rule('controls.eptp.reserved', 'with "enable EPT", bits 11:7 of the EPTP are 0 (bit 7 unless supervisor shadow-stack control is supported)', EPTP_READS,
    (v, c) => !whenEpt(v) || eptpReserved(v, c)),
  rule('controls.eptp.width', 'with "enable EPT", the EPTP lies within the physical-address width', EPTP_READS,
    (v, c) => !whenEpt(v) || withinPhysicalWidth(v, EPT_POINTER, c)),
  needs('controls.pml.ept', '"enable PML" needs "enable EPT"', SECONDARY.ENABLE_PML, SECONDARY.ENABLE_EPT),
  ...pointer('controls.pml-address', 'PML_ADDRESS', 'the PML address', 4096, whenSecondary('enable PML', SECONDARY.ENABLE_PML)),
  needs('controls.unrestricted-guest.ept', '"unrestricted guest" needs "enable EPT"', SECONDARY.UNRESTRICTED_GUEST, SECONDARY.ENABLE_EPT),
  needs('controls.mode-based-execute.ept', '"mode-based execute control for EPT" needs "enable EPT"', SECONDARY.MODE_BASED_EXECUTE_CONTROL, SECONDARY.ENABLE_EPT),
  needs('controls.sub-page-write.ept', '"sub-page write permissions for EPT" needs "enable EPT"', SECONDARY.SUB_PAGE_WRITE_PERMISSIONS, SECONDARY.ENABLE_EPT),
  ...pointer('controls.sub-page-table', 'SPP_TABLE_POINTER', 'the sub-page-permission-table pointer', 4096, whenSecondary('sub-page write permissions for EPT', SECONDARY.SUB_PAGE_WRITE_PERMISSIONS)),
  rule('controls.vm-functions.reserved', 'with "enable VM functions", VM-function controls that the processor does not support are 0', VMFUNC_READS,
    (v, c) => !secondaryHas(v, SECONDARY.ENABLE_VM_FUNCTIONS)
      || ((v.low(VM_FUNCTION_CONTROL) & ~c.facts.vmFunctions.low) === 0 && (v.high(VM_FUNCTION_CONTROL) & ~c.facts.vmFunctions.high) === 0)),
  rule('controls.eptp-switching.ept', 'the VM function "EPTP switching" needs "enable EPT"', VMFUNC_READS,
    (v) => !eptpSwitching(v) || whenEpt(v)),
  ...pointer('controls.eptp-list', 'EPTP_LIST_ADDRESS', 'the EPTP-list address', 4096, ['EPTP switching', VMFUNC_READS, eptpSwitching]),
  ...pointer('controls.vmread-bitmap', 'VMREAD_BITMAP', 'the VMREAD-bitmap address', 4096, whenSecondary('VMCS shadowing', SECONDARY.VMCS_SHADOWING)),
  ...pointer('controls.vmwrite-bitmap', 'VMWRITE_BITMAP', 'the VMWRITE-bitmap address', 4096, whenSecondary('VMCS shadowing', SECONDARY.VMCS_SHADOWING)),
  ...pointer('controls.ve-information', 'VE_INFORMATION_ADDRESS', 'the virtualization-exception information address', 4096, whenSecondary('EPT-violation #VE', SECONDARY.EPT_VIOLATION_VE)),
  needs('controls.pt-guest-physical.ept', '"Intel PT uses guest physical addresses" needs "enable EPT"', SECONDARY.PT_USES_GUEST_PHYSICAL_ADDRESSES, SECONDARY.ENABLE_EPT),
  rule('controls.pt-guest-physical.load', '"Intel PT uses guest physical addresses" needs "load IA32_RTIT_CTL"', [...SECONDARY_READS, 'VM_ENTRY_CONTROLS'],
    (v) => !secondaryHas(v, SECONDARY.PT_USES_GUEST_PHYSICAL_ADDRESSES) || entryHas(v, ENTRY.LOAD_IA32_RTIT_CTL)),
  rule('controls.pt-guest-physical.clear', '"Intel PT uses guest physical addresses" needs "clear IA32_RTIT_CTL"', [...SECONDARY_READS, 'VM_EXIT_CONTROLS'],
    (v) => !secondaryHas(v, SECONDARY.PT_USES_GUEST_PHYSICAL_ADDRESSES) || exitHas(v, EXIT.CLEAR_IA32_RTIT_CTL)),
];

/** An MSR list with entries: 16-byte aligned, and with its first and last byte within the physical-address width. */
function msrList(id: string, what: string, address: FieldName, count: FieldName): RuleDraft[] {
  const [addressOffset, countOffset] = [OFFSET[address], OFFSET[count]];
  const reads = [address, count];
  const empty = (v: VmcsView): boolean => v.low(countOffset) === 0;
  return [
    rule(
      `${id}.aligned`,
      `the ${what} address is 16-byte aligned`,
      reads,
      (v) => empty(v) || (v.low(addressOffset) & 0xf) === 0,
    ),
    rule(
      `${id}.width`,
      `the ${what} address lies within the physical-address width`,
      reads,
      (v, c) => empty(v) || withinPhysicalWidth(v, addressOffset, c),
    ),
    rule(
      `${id}.end`,
      `the last byte of the ${what} area lies within the physical-address width`,
      reads,
      (v, c) =>
        empty(v) || addressAt(v, addressOffset) + 16 * v.low(countOffset) - 1 < 2 ** c.facts.physicalAddressWidth,
    ),
  ];
}

// prettier-ignore
const exit: RuleDraft[] = [
  rule('controls.exit.must-be-1', 'VM-exit controls that the processor fixes to 1 are 1', ['VM_EXIT_CONTROLS'],
    (v, c) => (~v.low(VM_EXIT_CONTROLS) & c.facts.exitMustBeOne) === 0),
  rule('controls.exit.may-be-1', 'VM-exit controls that the processor does not support are 0', ['VM_EXIT_CONTROLS'],
    (v, c) => (v.low(VM_EXIT_CONTROLS) & ~c.facts.exitMayBeOne) === 0),
  rule('controls.exit.save-preemption-timer', '"save VMX-preemption timer value" needs "activate VMX-preemption timer"', ['PIN_BASED_VM_EXEC_CONTROL', 'VM_EXIT_CONTROLS'],
    (v) => pinHas(v, PIN.ACTIVATE_VMX_PREEMPTION_TIMER) || !exitHas(v, EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE)),
  ...msrList('controls.exit.msr-store', 'VM-exit MSR-store', 'VM_EXIT_MSR_STORE_ADDR', 'VM_EXIT_MSR_STORE_COUNT'),
  ...msrList('controls.exit.msr-load', 'VM-exit MSR-load', 'VM_EXIT_MSR_LOAD_ADDR', 'VM_EXIT_MSR_LOAD_COUNT'),
];

// prettier-ignore
const entry: RuleDraft[] = [
  rule('controls.entry.must-be-1', 'VM-entry controls that the processor fixes to 1 are 1', ['VM_ENTRY_CONTROLS'],
    (v, c) => (~v.low(VM_ENTRY_CONTROLS) & c.facts.entryMustBeOne) === 0),
  rule('controls.entry.may-be-1', 'VM-entry controls that the processor does not support are 0', ['VM_ENTRY_CONTROLS'],
    (v, c) => (v.low(VM_ENTRY_CONTROLS) & ~c.facts.entryMayBeOne) === 0),
  ...msrList('controls.entry.msr-load', 'VM-entry MSR-load', 'VM_ENTRY_MSR_LOAD_ADDR', 'VM_ENTRY_MSR_LOAD_COUNT'),
  rule('controls.entry.to-smm', '"entry to SMM" is 0 outside SMM', ['VM_ENTRY_CONTROLS'],
    (v, c) => c.inSmm || !entryHas(v, ENTRY.ENTRY_TO_SMM)),
  rule('controls.entry.dual-monitor', '"deactivate dual-monitor treatment" is 0 outside SMM', ['VM_ENTRY_CONTROLS'],
    (v, c) => c.inSmm || !entryHas(v, ENTRY.DEACTIVATE_DUAL_MONITOR_TREATMENT)),
  rule('controls.entry.smm-exclusive', '"entry to SMM" and "deactivate dual-monitor treatment" are not both 1', ['VM_ENTRY_CONTROLS'],
    (v) => !entryHas(v, ENTRY.ENTRY_TO_SMM) || !entryHas(v, ENTRY.DEACTIVATE_DUAL_MONITOR_TREATMENT)),
];

const injecting: GroupCondition = {
  sentence: 'the valid bit of the VM-entry interruption-information field is 1',
  reads: ['VM_ENTRY_INTR_INFO_FIELD'],
  holds: (v) => (v.low(VM_ENTRY_INTR_INFO_FIELD) & 0x80000000) !== 0,
};

const INJECTION: readonly FieldName[] = ['VM_ENTRY_INTR_INFO_FIELD'];
const typeOf = (v: VmcsView): number => (v.low(VM_ENTRY_INTR_INFO_FIELD) >>> 8) & 7;
const vectorOf = (v: VmcsView): number => v.low(VM_ENTRY_INTR_INFO_FIELD) & 0xff;
const deliversErrorCode = (v: VmcsView): boolean => (v.low(VM_ENTRY_INTR_INFO_FIELD) & 0x800) !== 0;
const [NMI, HARDWARE_EXCEPTION, OTHER_EVENT] = [2, 3, 7];

/** #DF, #TS, #NP, #SS, #GP, #PF, #AC */
const VECTORS_WITH_ERROR_CODE = (1 << 8) | (0x1f << 10) | (1 << 17);

/** A hardware exception that pushes an error code, into a guest that is in protected mode. */
const expectsErrorCode = (v: VmcsView): boolean =>
  typeOf(v) === HARDWARE_EXCEPTION &&
  vectorOf(v) < 32 &&
  (VECTORS_WITH_ERROR_CODE & (1 << vectorOf(v))) !== 0 &&
  (!unrestricted(v) || (v.low(GUEST_CR0) & 1) !== 0);

const vectorIsFree = (c: EntryContext): boolean =>
  extract(BASIC_HIGH.NO_ERROR_CODE_CONSISTENCY_CHECK, c.facts.basicHigh) !== 0;

/** Software interrupt, privileged software exception, software exception. */
const hasInstructionLength = (v: VmcsView): boolean => typeOf(v) >= 4 && typeOf(v) <= 6;

// prettier-ignore
const injection: RuleDraft[] = [
  rule('controls.injection.type', 'the interruption type is not 1, and is 7 only where the monitor trap flag is supported', INJECTION,
    (v, c) => typeOf(v) !== 1 && (typeOf(v) !== OTHER_EVENT || (c.facts.primaryMayBeOne & PRIMARY.MONITOR_TRAP_FLAG) !== 0)),
  rule('controls.injection.nmi-vector', 'an NMI has vector 2', INJECTION,
    (v) => typeOf(v) !== NMI || vectorOf(v) === 2),
  rule('controls.injection.exception-vector', 'a hardware exception has a vector of at most 31', INJECTION,
    (v) => typeOf(v) !== HARDWARE_EXCEPTION || vectorOf(v) <= 31),
  rule('controls.injection.other-vector', 'an event of type 7 has vector 0 (pending MTF VM exit)', INJECTION,
    (v) => typeOf(v) !== OTHER_EVENT || vectorOf(v) === 0),
  rule('controls.injection.error-code-missing', 'a hardware exception with an error code, into protected mode, sets the deliver-error-code bit', [...INJECTION, ...SECONDARY_READS, 'GUEST_CR0'],
    (v, c) => vectorIsFree(c) || deliversErrorCode(v) || !expectsErrorCode(v)),
  rule('controls.injection.error-code-unexpected', 'the deliver-error-code bit is 0 for every other event', [...INJECTION, ...SECONDARY_READS, 'GUEST_CR0'],
    (v, c) => !deliversErrorCode(v) || (vectorIsFree(c) ? typeOf(v) === HARDWARE_EXCEPTION && (!unrestricted(v) || (v.low(GUEST_CR0) & 1) !== 0) : expectsErrorCode(v))),
  rule('controls.injection.reserved', 'bits 30:12 of the VM-entry interruption-information field are 0', INJECTION,
    (v) => (v.low(VM_ENTRY_INTR_INFO_FIELD) & 0x7ffff000) === 0),
  rule('controls.injection.error-code', 'with the deliver-error-code bit, bits 31:16 of the error code are 0', [...INJECTION, 'VM_ENTRY_EXCEPTION_ERROR_CODE'],
    (v) => !deliversErrorCode(v) || v.low(VM_ENTRY_EXCEPTION_ERROR_CODE) <= 0xffff),
  rule('controls.injection.length.maximum', 'for software interrupts and exceptions the instruction length is at most 15', [...INJECTION, 'VM_ENTRY_INSTRUCTION_LEN'],
    (v) => !hasInstructionLength(v) || v.low(VM_ENTRY_INSTRUCTION_LEN) <= 15),
  rule('controls.injection.length.zero', 'for software interrupts and exceptions the instruction length is 0 only where IA32_VMX_MISC permits it', [...INJECTION, 'VM_ENTRY_INSTRUCTION_LEN'],
    (v, c) => !hasInstructionLength(v) || v.low(VM_ENTRY_INSTRUCTION_LEN) !== 0 || extract(MISC.ZERO_LENGTH_INJECTION, c.facts.misc) !== 0),
];

export const CONTROL_CHECKS: readonly EntryCheckGroup[] = [
  group('execution', 'controls', SECTION.execution, execution),
  group('tpr-threshold', 'controls', SECTION.execution, tprThreshold, { when: comparesVtpr, again: 'each' }),
  group('secondary', 'controls', SECTION.execution, secondary, { when: secondaryActive }),
  group('exit', 'controls', SECTION.exit, exit),
  group('entry', 'controls', SECTION.entry, entry),
  group('injection', 'controls', SECTION.entry, injection, { when: injecting }),
];
