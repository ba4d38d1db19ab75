// SPDX-License-Identifier: Apache-2.0
// What the tests of the VM-entry checks do to a valid VMCS, and the variants of it that are valid as well.
import { CONTROLS, CONTROL_GROUPS, ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.ts';
import type { ControlGroup } from './controls.ts';
import type { CapabilityMsrName, Halves, VmxCapabilities } from './capabilities.ts';
import type { ExampleVmcs } from './example-vmcs.ts';
import type { FieldName } from './fields.ts';
import type { ProcessorFacts } from './processor-facts.ts';
import { PROFILES, VMCS_REVISION_ID } from './profiles.ts';

/** A processor with every named control, so that every rule can be reached. */
export const EVERYTHING: VmxCapabilities = {
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

export type Change = (vmcs: ExampleVmcs) => void;
export const FIELD: { readonly [Group in Exclude<ControlGroup, 'tertiary'>]: FieldName } = {
  pin: 'PIN_BASED_VM_EXEC_CONTROL',
  primary: 'CPU_BASED_VM_EXEC_CONTROL',
  secondary: 'SECONDARY_VM_EXEC_CONTROL',
  exit: 'VM_EXIT_CONTROLS',
  entry: 'VM_ENTRY_CONTROLS',
};

export const all =
  (...changes: Change[]): Change =>
  (vmcs) =>
    changes.forEach((change) => change(vmcs));
export const pin =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.pin, bits);
export const primary =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.primary, bits);
export const secondary = (bits: number): Change =>
  all(primary(PRIMARY.ACTIVATE_SECONDARY_CONTROLS), (vmcs) => vmcs.or(FIELD.secondary, bits));
export const exit =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.exit, bits);
export const entry =
  (bits: number): Change =>
  (vmcs) =>
    vmcs.or(FIELD.entry, bits);
export const set =
  (name: FieldName, low: number, high = 0): Change =>
  (vmcs) =>
    vmcs.set(name, low, high);
export const or =
  (name: FieldName, bits: number): Change =>
  (vmcs) =>
    vmcs.or(name, bits);
export const clear =
  (name: FieldName, bits: number): Change =>
  (vmcs) =>
    vmcs.clear(name, bits);
export const facts =
  (change: Partial<ProcessorFacts>): Change =>
  (vmcs) => {
    vmcs.context.facts = { ...vmcs.context.facts, ...change };
  };
export const memory =
  (address: number, value: number): Change =>
  (vmcs) =>
    vmcs.memory.set(address, value);
export const inSmm: Change = (vmcs) => {
  vmcs.context.inSmm = true;
};
export const outsideLongMode: Change = (vmcs) => {
  vmcs.context.longModeActive = false;
};
export const inject = (type: number, vector: number, more = 0): Change =>
  set('VM_ENTRY_INTR_INFO_FIELD', (0x80000000 | more | (type << 8) | vector) >>> 0);

// Variants of the example.

export const EPTP = 0x3000 | 0x1e;
export const ept = all(secondary(SECONDARY.ENABLE_EPT), set('EPT_POINTER', EPTP));
export const unrestrictedGuest = all(ept, secondary(SECONDARY.UNRESTRICTED_GUEST));
export const tprShadow = all(primary(PRIMARY.USE_TPR_SHADOW), set('VIRTUAL_APIC_PAGE_ADDR', 0x9000));
export const interruptDelivery = all(
  tprShadow,
  secondary(SECONDARY.VIRTUAL_INTERRUPT_DELIVERY),
  pin(PIN.EXTERNAL_INTERRUPT_EXITING),
);
export const postedInterrupts = all(
  interruptDelivery,
  pin(PIN.PROCESS_POSTED_INTERRUPTS),
  exit(EXIT.ACKNOWLEDGE_INTERRUPT_ON_EXIT),
);
export const vmFunctions = all(ept, secondary(SECONDARY.ENABLE_VM_FUNCTIONS));
export const eptpSwitching = all(vmFunctions, set('VM_FUNCTION_CONTROL', 1));
export const traceGuestPhysical = all(
  ept,
  secondary(SECONDARY.PT_USES_GUEST_PHYSICAL_ADDRESSES),
  entry(ENTRY.LOAD_IA32_RTIT_CTL),
  exit(EXIT.CLEAR_IA32_RTIT_CTL),
);
export const entryToSmm = all(inSmm, entry(ENTRY.ENTRY_TO_SMM), set('GUEST_INTERRUPTIBILITY_INFO', 4));

const legacyHost = all(
  outsideLongMode,
  clear('VM_EXIT_CONTROLS', EXIT.HOST_ADDRESS_SPACE_SIZE),
  set('HOST_RIP', 0xc0100000),
);

export const legacyGuest = all(
  clear('VM_ENTRY_CONTROLS', ENTRY.IA32E_MODE_GUEST),
  set('GUEST_CR4', 0x2080),
  set('GUEST_CS_AR_BYTES', 0xc09b),
  set('GUEST_RIP', 0xc0100000),
);
export const legacyBoth = all(legacyHost, legacyGuest);
export const paeGuest = all(legacyGuest, or('GUEST_CR4', 0x20));
export const realMode = all(
  unrestrictedGuest,
  legacyGuest,
  set('GUEST_CR0', 0x20),
  ...(['CS', 'SS'] as const).flatMap((name) => [
    set(`GUEST_${name}_AR_BYTES`, 0x93),
    set(`GUEST_${name}_LIMIT`, 0xffff),
  ]),
);
export const SEGMENTS = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const;
export const v8086Guest = all(
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
export const usable = all(
  ...(['DS', 'ES', 'FS', 'GS'] as const).flatMap((name) => [
    set(`GUEST_${name}_AR_BYTES`, 0xc093),
    set(`GUEST_${name}_LIMIT`, 0xffffffff),
    set(`GUEST_${name}_SELECTOR`, 0x18),
  ]),
  set('GUEST_LDTR_AR_BYTES', 0x82),
  set('GUEST_LDTR_LIMIT', 0xfef),
  set('GUEST_LDTR_SELECTOR', 0x48),
);
export const userGuest = all(
  or('GUEST_CS_SELECTOR', 3),
  or('GUEST_SS_SELECTOR', 3),
  or('GUEST_CS_AR_BYTES', 0x60),
  or('GUEST_SS_AR_BYTES', 0x60),
);
export const LINK = 0xa000;
export const linked = all(set('VMCS_LINK_POINTER', LINK), memory(LINK, VMCS_REVISION_ID));
export const shadowed = all(
  secondary(SECONDARY.VMCS_SHADOWING),
  linked,
  memory(LINK, (VMCS_REVISION_ID | 0x80000000) >>> 0),
);
export const hlt = set('GUEST_ACTIVITY_STATE', 1);
export const rtm = all(facts({ rtm: true }), set('GUEST_PENDING_DBG_EXCEPTIONS', 0x11000));
export const guestCet = entry(ENTRY.LOAD_CET_STATE);
export const hostCet = exit(EXIT.LOAD_CET_STATE);
export const modeAlone: Change = () => undefined;
export const BEYOND = 1 << 7; // bit 39 of the example's 39-bit addresses, in the high half
export const NOT_CANONICAL = 0x00008000;
