// SPDX-License-Identifier: Apache-2.0
// Random VMCSs that VM entry takes: every mode that a processor's capabilities permit, random controls, injection and
// non-register state. The same for the same seed. `random-guest.testing.ts` has the guest's registers and segments.

import { assert } from '../../base/assert.ts';
import { CONTROL_GROUPS, ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from './controls.ts';
import type { ControlGroup } from './controls.ts';
import { mayBeOne, mustBeOne, supports } from './capabilities.ts';
import type { VmxCapabilities } from './capabilities.ts';
import { allFailures } from './entry-checks.ts';
import { exampleVmcs } from './example-vmcs.ts';
import type { ExampleVmcs } from './example-vmcs.ts';
import { OFFSET } from './fields.ts';
import type { FieldName } from './fields.ts';
import { VMCS_REVISION_ID } from './profiles.ts';
import { GUEST_MODES, isIa32e, needsUnrestricted, randomRegisters } from './random-guest.testing.ts';
import type { GuestMode, GuestPlaces } from './random-guest.testing.ts';
import { RandomBits } from './random-bits.testing.ts';
import { ACTIVITY } from './state-bits.ts';

export interface RandomVmcs extends ExampleVmcs {
  readonly mode: GuestMode;
  /** Something ends an inactive activity state: an injected event, or the preemption timer. */
  readonly endsByItself: boolean;
}

const FIELD_OF = Object.fromEntries(CONTROL_GROUPS.map(({ group, field }) => [group, field])) as {
  readonly [Group in ControlGroup]: FieldName;
};
const PAGE_WALK_4_WB = 0x1e;
const EPTP_ACCESSED_DIRTY = 0x40;
const KERNEL_GS_BASE = 0xc0000102;

/**
 * A VMCS that breaks no rule, at `context.currentVmcs`, with what it needs in `memory`. The host state is that of
 * `exampleVmcs`, after `withHost`. Never waits for a start-up IPI unless `waitForSipi`.
 */
export function randomVmcs(
  seed: number,
  capabilities: VmxCapabilities,
  places: GuestPlaces,
  options: { readonly withHost?: (vmcs: ExampleVmcs) => void; readonly waitForSipi?: boolean } = {},
): RandomVmcs {
  const random = new RandomBits(seed);
  const vmcs = exampleVmcs(capabilities);
  options.withHost?.(vmcs);
  const unrestricted = supports(capabilities, 'secondary.UNRESTRICTED_GUEST');
  const mode = random.pick(GUEST_MODES.filter((candidate) => unrestricted || !needsUnrestricted(candidate)));
  const controls = randomControls(random, capabilities, mode);
  for (const [group, value] of Object.entries(controls) as [keyof Controls, number][]) vmcs.set(FIELD_OF[group], value);
  randomExecution(random, vmcs, controls, places);
  randomRegisters(random, vmcs, mode, places, (controls.secondary & SECONDARY.UNRESTRICTED_GUEST) !== 0);
  const endsByItself = randomEvents(random, vmcs, controls, capabilities, options.waitForSipi ?? false);
  const broken = allFailures(vmcs.view, vmcs.context).map(({ id }) => id);
  assert(broken.length === 0, `random VMCS ${seed} (${mode}) is valid, but: ${broken.join(', ')}`);
  return { ...vmcs, mode, endsByItself };
}

interface Controls {
  pin: number;
  primary: number;
  secondary: number;
  exit: number;
  entry: number;
}

/** Any bits that may be 1, less those that need something which is not there. */
function randomControls(random: RandomBits, capabilities: VmxCapabilities, mode: GuestMode): Controls {
  const bits = (group: keyof Controls): number =>
    ((random.some() & mayBeOne(capabilities, group)) | mustBeOne(capabilities, group)) >>> 0;
  const controls: Controls = {
    ...{ pin: bits('pin'), primary: bits('primary'), secondary: bits('secondary') },
    ...{ exit: bits('exit'), entry: bits('entry') },
  };
  const needs = (from: keyof Controls, bit: number, to: keyof Controls, needed: number): void => {
    if ((controls[from] & bit) !== 0 && (controls[to] & needed) !== needed) controls[from] &= ~bit;
  };
  controls.exit |= EXIT.HOST_ADDRESS_SPACE_SIZE;
  if (isIa32e(mode)) controls.entry |= ENTRY.IA32E_MODE_GUEST;
  else controls.entry &= ~ENTRY.IA32E_MODE_GUEST;
  if (needsUnrestricted(mode)) {
    controls.primary |= PRIMARY.ACTIVATE_SECONDARY_CONTROLS;
    controls.secondary |= SECONDARY.ENABLE_EPT | SECONDARY.UNRESTRICTED_GUEST;
  }
  if ((controls.primary & PRIMARY.ACTIVATE_SECONDARY_CONTROLS) === 0) controls.secondary = 0;
  needs('pin', PIN.VIRTUAL_NMIS, 'pin', PIN.NMI_EXITING);
  needs('primary', PRIMARY.NMI_WINDOW_EXITING, 'pin', PIN.VIRTUAL_NMIS);
  needs('secondary', SECONDARY.UNRESTRICTED_GUEST, 'secondary', SECONDARY.ENABLE_EPT);
  needs('exit', EXIT.SAVE_VMX_PREEMPTION_TIMER_VALUE, 'pin', PIN.ACTIVATE_VMX_PREEMPTION_TIMER);
  return controls;
}

/** Fields of the execution, exit and entry controls, and the pages that they point to. */
function randomExecution(random: RandomBits, vmcs: ExampleVmcs, controls: Controls, places: GuestPlaces): void {
  const { secondary, primary } = controls;
  const [ioA, ioB, msr, virtualApic, apicAccess, reads, writes, link, ...lists] = places.pages;
  const pages: readonly (readonly [FieldName, number | undefined])[] = [
    ...([['IO_BITMAP_A', ioA], ['IO_BITMAP_B', ioB], ['MSR_BITMAP', msr], ['APIC_ACCESS_ADDR', apicAccess]] as const),
    ...([['VIRTUAL_APIC_PAGE_ADDR', virtualApic], ['VMREAD_BITMAP', reads], ['VMWRITE_BITMAP', writes]] as const),
  ]; // prettier-ignore
  assert(pages.every(([, page]) => page !== undefined) && lists.length >= 3, 'eleven pages');
  for (const [field, page] of pages) vmcs.set(field, page!);
  const masks: readonly FieldName[] = ['CR0_GUEST_HOST_MASK', 'CR4_GUEST_HOST_MASK', 'CR0_READ_SHADOW', 'CR4_READ_SHADOW', 'EXCEPTION_BITMAP', 'PAGE_FAULT_ERROR_CODE_MASK', 'PAGE_FAULT_ERROR_CODE_MATCH', 'PLE_GAP', 'PLE_WINDOW']; // prettier-ignore
  for (const field of masks) vmcs.set(field, random.some());
  vmcs.set('CR3_TARGET_COUNT', random.below(5));
  vmcs.set('TSC_OFFSET', random.word(), random.word());
  vmcs.set('TSC_MULTIPLIER', random.word(), 1 + random.below(0xffff));
  vmcs.set('VIRTUAL_PROCESSOR_ID', 1 + random.below(0xffff));
  vmcs.set('VMX_PREEMPTION_TIMER_VALUE', random.below(30));
  randomThreshold(random, vmcs, virtualApic!);
  if (secondary & SECONDARY.ENABLE_EPT) {
    const dirty = (vmcs.context.facts.eptCapabilities & (1 << 21)) !== 0 && random.chance(0.5);
    vmcs.set('EPT_POINTER', places.ept | PAGE_WALK_4_WB | (dirty ? EPTP_ACCESSED_DIRTY : 0));
  }
  const shadow = (primary & PRIMARY.ACTIVATE_SECONDARY_CONTROLS) !== 0 && (secondary & SECONDARY.VMCS_SHADOWING) !== 0;
  if (random.chance(0.3)) {
    vmcs.set('VMCS_LINK_POINTER', link!);
    vmcs.memory.set(link!, (VMCS_REVISION_ID | (shadow ? 0x80000000 : 0)) >>> 0);
  }
  randomLists(random, vmcs, lists);
}

/** The threshold is not above VTPR where they are compared, nor beyond 4 bits. */
function randomThreshold(random: RandomBits, vmcs: ExampleVmcs, virtualApic: number): void {
  const taskPriority = random.below(256);
  vmcs.memory.set(virtualApic + 0x80, taskPriority);
  vmcs.set('TPR_THRESHOLD', random.below((taskPriority >>> 4) + 1));
}

/** MSR lists of up to three entries, with what any processor lets be loaded. */
function randomLists(random: RandomBits, vmcs: ExampleVmcs, pages: readonly number[]): void {
  for (const [i, name] of (['VM_ENTRY_MSR_LOAD', 'VM_EXIT_MSR_STORE', 'VM_EXIT_MSR_LOAD'] as const).entries()) {
    const count = random.chance(0.7) ? 0 : 1 + random.below(3);
    vmcs.set(`${name}_ADDR`, pages[i]!);
    vmcs.set(`${name}_COUNT`, count);
    for (let entry = 0; entry < count; entry++) {
      const at = pages[i]! + 16 * entry;
      [KERNEL_GS_BASE, 0, random.word(), 0].forEach((word, j) => vmcs.memory.set(at + 4 * j, word));
    }
  }
}

const [EXTERNAL_INTERRUPT, NMI, HARDWARE_EXCEPTION, SOFTWARE_INTERRUPT, PRIVILEGED, SOFTWARE_EXCEPTION, OTHER] = [0, 2, 3, 4, 5, 6, 7]; // prettier-ignore
const WITH_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17]);
const [IF, TF, STI, MOV_SS, BLOCKED_NMI] = [0x200, 0x100, 1, 2, 8];
const [BTF, PENDING_BS, PENDING_ENABLED] = [2, 1 << 14, 1 << 12];

/** Activity, interruptibility, pending debug exceptions and the injected event, as far as they suit each other. */
function randomEvents(
  random: RandomBits,
  vmcs: ExampleVmcs,
  controls: Controls,
  capabilities: VmxCapabilities,
  waitForSipi: boolean,
): boolean {
  const flags = read(vmcs, 'GUEST_RFLAGS');
  const kernel = (read(vmcs, 'GUEST_SS_AR_BYTES') & 0x60) === 0;
  const timer = (controls.pin & PIN.ACTIVATE_VMX_PREEMPTION_TIMER) !== 0;
  const state = randomActivity(random, kernel, waitForSipi);
  let blocking = random.chance(0.2) ? BLOCKED_NMI : 0;
  if (state === ACTIVITY.active && random.chance(0.2)) blocking |= MOV_SS;
  else if (state === ACTIVITY.active && random.chance(0.3) && flags & IF) blocking |= STI;
  const event = randomEvent(random, state, blocking, flags, controls, capabilities);
  // Nothing but an event or the timer ends HLT and shutdown here.
  const stays = state !== ACTIVITY.active && event === undefined && !timer && !waitForSipi;
  const activity = stays ? ACTIVITY.active : state;
  vmcs.set('GUEST_ACTIVITY_STATE', activity);
  vmcs.set('GUEST_INTERRUPTIBILITY_INFO', blocking);
  if (event !== undefined) injectEvent(random, vmcs, event);
  const holds = (blocking & (STI | MOV_SS)) !== 0 || activity === ACTIVITY.hlt;
  const steps = (flags & TF) !== 0 && (read(vmcs, 'GUEST_IA32_DEBUGCTL') & BTF) === 0;
  const traps = random.chance(0.1) ? PENDING_ENABLED | random.below(16) : 0;
  vmcs.set(
    'GUEST_PENDING_DBG_EXCEPTIONS',
    traps | (holds ? (steps ? PENDING_BS : 0) : random.chance(0.05) ? PENDING_BS : 0),
  );
  return activity === ACTIVITY.active || event !== undefined || (timer && activity !== ACTIVITY.waitForSipi);
}

function randomActivity(random: RandomBits, kernel: boolean, waitForSipi: boolean): number {
  if (random.chance(0.75)) return ACTIVITY.active;
  const states = [ACTIVITY.shutdown, ...(kernel ? [ACTIVITY.hlt] : []), ...(waitForSipi ? [ACTIVITY.waitForSipi] : [])];
  return random.pick(states);
}

interface InjectedEvent {
  readonly type: number;
  readonly vector: number;
}

/** An event that this state takes; undefined: none. */
function randomEvent(
  random: RandomBits,
  state: number,
  blocking: number,
  flags: number,
  controls: Controls,
  capabilities: VmxCapabilities,
): InjectedEvent | undefined {
  if (state === ACTIVITY.waitForSipi || random.chance(0.6)) return undefined;
  const unblocked = (blocking & (STI | MOV_SS)) === 0;
  const virtualNmis = (controls.pin & PIN.VIRTUAL_NMIS) !== 0;
  const possible: InjectedEvent[] = [{ type: HARDWARE_EXCEPTION, vector: 18 }];
  if (unblocked && !(virtualNmis && blocking & BLOCKED_NMI)) possible.push({ type: NMI, vector: 2 });
  if (state !== ACTIVITY.shutdown) {
    possible.push({ type: HARDWARE_EXCEPTION, vector: 1 });
    if (unblocked && flags & IF) possible.push({ type: EXTERNAL_INTERRUPT, vector: random.below(256) });
    if (supports(capabilities, 'primary.MONITOR_TRAP_FLAG')) possible.push({ type: OTHER, vector: 0 });
  }
  if (state === ACTIVITY.active) {
    possible.push({ type: HARDWARE_EXCEPTION, vector: random.below(32) });
    possible.push({ type: SOFTWARE_INTERRUPT, vector: random.below(256) });
    possible.push({ type: PRIVILEGED, vector: 1 }, { type: SOFTWARE_EXCEPTION, vector: random.pick([3, 4]) });
  }
  return random.pick(possible);
}

function injectEvent(random: RandomBits, vmcs: ExampleVmcs, { type, vector }: InjectedEvent): void {
  const protectedMode = (read(vmcs, 'GUEST_CR0') & 1) !== 0;
  const errorCode = type === HARDWARE_EXCEPTION && WITH_ERROR_CODE.has(vector) && protectedMode;
  vmcs.set('VM_ENTRY_INTR_INFO_FIELD', (0x80000000 | (errorCode ? 0x800 : 0) | (type << 8) | vector) >>> 0);
  vmcs.set('VM_ENTRY_EXCEPTION_ERROR_CODE', random.below(0x10000));
  const shortest = ((vmcs.context.facts.misc >>> 30) & 1) === 1 ? 0 : 1;
  vmcs.set('VM_ENTRY_INSTRUCTION_LEN', shortest + random.below(16 - shortest));
}

const read = ({ view }: ExampleVmcs, name: FieldName): number => view.low(OFFSET[name]);
