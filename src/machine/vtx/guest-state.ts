// SPDX-License-Identifier: Apache-2.0
import { ENTRY, EXIT } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { paePaging } from '../cpu/microcode/pdpte.ts';
import { CR0, EFER } from '../cpu/processor.ts';
import type { Processor } from '../cpu/processor.ts';
import { RSP, SEGMENT, SS, STATE, TR, segmentOffset } from '../cpu/state.ts';
import type { ActiveControls } from './active-controls.ts';
import type { Vmcs } from './vmcs.ts';

/** Fields of 64 bits that VM entry loads and VM exit saves as they are: [field, state]. */
// prettier-ignore
const PLAIN: readonly (readonly [field: number, state: number])[] = [
  [OFFSET.GUEST_CR3,          STATE.cr3],
  [OFFSET.GUEST_SYSENTER_CS,  STATE.sysenterCs],
  [OFFSET.GUEST_SYSENTER_ESP, STATE.sysenterEsp],
  [OFFSET.GUEST_SYSENTER_EIP, STATE.sysenterEip],
  [OFFSET.GUEST_GDTR_BASE,    STATE.gdtrBase],
  [OFFSET.GUEST_IDTR_BASE,    STATE.idtrBase],
  [OFFSET.GUEST_RSP,          RSP * 8],
  [OFFSET.GUEST_RIP,          STATE.rip],
];

const FLAT = Int32Array.from(PLAIN.flat());

const { GUEST_CR0, GUEST_CR4, GUEST_DR7, GUEST_RFLAGS, GUEST_GDTR_LIMIT, GUEST_IDTR_LIMIT } = OFFSET;
const { GUEST_ES_SELECTOR, GUEST_ES_BASE, GUEST_ES_LIMIT, GUEST_ES_AR_BYTES } = OFFSET;
const { GUEST_IA32_EFER, GUEST_IA32_PAT, GUEST_IA32_DEBUGCTL, GUEST_PDPTR0, GUEST_SYSENTER_CS } = OFFSET;
const { VM_ENTRY_CONTROLS } = OFFSET;

/** CR0: ET, CD, NW, and the bits that are reserved. See: SDM 27.3.2.1 Loading Guest Control Registers, Debug Registers, and MSRs */
export const CR0_NOT_LOADED = 0x7ffaffd0;
/** DR7 bits 12, 14 and 15 are cleared, bit 10 is set; bits 63:32 are 0. */
const DR7_CLEARED = 0xd000;
const DR7_SET = 0x400;
const DPL = 0x60;
export const IA32_DEBUGCTL = 0x1d9;

/** Copies 64 bits from the VMCS to the state block. */
export function loadField(cpu: Processor, vmcs: Vmcs, field: number, state: number): void {
  cpu.words[state >> 2] = vmcs.low(field);
  cpu.words[(state >> 2) + 1] = vmcs.high(field);
}
/** Copies 64 bits from the state block to the VMCS. */
export function saveField(cpu: Processor, vmcs: Vmcs, field: number, state: number): void {
  vmcs.save(field, cpu.words[state >> 2], cpu.words[(state >> 2) + 1]);
}

/** Copies what a table of [field, state] names from the VMCS; the flat form of it is what each world switch goes through. */
export function loadFields(cpu: Processor, vmcs: Vmcs, flat: Int32Array): void {
  for (let i = 0; i < flat.length; i += 2) loadField(cpu, vmcs, flat[i], flat[i + 1]);
}
function saveFields(cpu: Processor, vmcs: Vmcs, flat: Int32Array): void {
  for (let i = 0; i < flat.length; i += 2) saveField(cpu, vmcs, flat[i], flat[i + 1]);
}

/** Loads guest registers; `modeChanged` and `pagingChanged` are the caller's. See: SDM 27.3.2 Loading Guest State */
export function loadGuestRegisters(cpu: Processor, vmcs: Vmcs, controls: ActiveControls): void {
  loadFields(cpu, vmcs, FLAT);
  cpu.words[STATE.cr0 >> 2] = (vmcs.low(GUEST_CR0) & ~CR0_NOT_LOADED) | (cpu.cr0 & CR0_NOT_LOADED);
  cpu.words[STATE.cr4 >> 2] = vmcs.low(GUEST_CR4);
  cpu.words[STATE.gdtrLimit >> 2] = vmcs.low(GUEST_GDTR_LIMIT);
  cpu.words[STATE.idtrLimit >> 2] = vmcs.low(GUEST_IDTR_LIMIT);
  loadSegments(cpu, vmcs);
  loadModelSpecific(cpu, vmcs, controls);
  cpu.rflags = vmcs.low(GUEST_RFLAGS);
}

function loadSegments(cpu: Processor, vmcs: Vmcs): void {
  const { words } = cpu;
  for (let segment = 0; segment <= TR; segment++) {
    const at = segmentOffset(segment) >> 2;
    const field = 8 * segment;
    words[at] = vmcs.low(GUEST_ES_BASE + field);
    words[at + 1] = vmcs.high(GUEST_ES_BASE + field);
    words[at + (SEGMENT.limit >> 2)] = vmcs.low(GUEST_ES_LIMIT + field);
    words[at + (SEGMENT.accessRights >> 2)] = vmcs.low(GUEST_ES_AR_BYTES + field);
    words[at + (SEGMENT.selector >> 2)] = vmcs.low(GUEST_ES_SELECTOR + field);
  }
  words[STATE.cpl >> 2] = (cpu.accessRights(SS) & DPL) >> 5;
}

function loadModelSpecific(cpu: Processor, vmcs: Vmcs, controls: ActiveControls): void {
  if (controls.onEntry(ENTRY.LOAD_DEBUG_CONTROLS)) {
    cpu.words[STATE.dr7 >> 2] = (vmcs.low(GUEST_DR7) & ~DR7_CLEARED) | DR7_SET;
    cpu.environment.msrs.set(IA32_DEBUGCTL, BigInt(vmcs.low(GUEST_IA32_DEBUGCTL)));
  }
  if (controls.onEntry(ENTRY.LOAD_IA32_PAT)) loadField(cpu, vmcs, GUEST_IA32_PAT, STATE.pat);
  cpu.words[STATE.efer >> 2] = guestEfer(cpu, vmcs, controls);
}

/** LMA is what "IA-32e mode guest" says; LME follows it under paging. */
function guestEfer(cpu: Processor, vmcs: Vmcs, controls: ActiveControls): number {
  if (controls.onEntry(ENTRY.LOAD_IA32_EFER)) return vmcs.low(GUEST_IA32_EFER);
  const paging = (cpu.cr0 & CR0.PG) !== 0;
  const kept = cpu.efer & ~(paging ? EFER.LMA | EFER.LME : EFER.LMA);
  return controls.guestIa32e ? kept | EFER.LMA | EFER.LME : kept;
}

/** Saves guest registers, RIP and RFLAGS as they are. See: SDM 28.3 Saving Guest State */
export function saveGuestRegisters(cpu: Processor, vmcs: Vmcs, controls: ActiveControls): void {
  saveFields(cpu, vmcs, FLAT);
  vmcs.save(GUEST_SYSENTER_CS, cpu.words[STATE.sysenterCs >> 2]);
  vmcs.save(GUEST_CR0, cpu.cr0);
  vmcs.save(GUEST_CR4, cpu.cr4);
  vmcs.save(GUEST_GDTR_LIMIT, cpu.words[STATE.gdtrLimit >> 2]);
  vmcs.save(GUEST_IDTR_LIMIT, cpu.words[STATE.idtrLimit >> 2]);
  vmcs.save(GUEST_RFLAGS, cpu.rflags);
  saveSegments(cpu, vmcs);
  saveModelSpecific(cpu, vmcs, controls);
  // Without PAE paging the manual leaves open what is saved: nothing is.
  if (!controls.ept || !paePaging(cpu.cr0, cpu.cr4, cpu.efer)) return;
  for (let i = 0; i < 4; i++) saveField(cpu, vmcs, GUEST_PDPTR0 + 8 * i, STATE.pdpte0 + 8 * i);
}

function saveSegments(cpu: Processor, vmcs: Vmcs): void {
  const { words } = cpu;
  for (let segment = 0; segment <= TR; segment++) {
    const at = segmentOffset(segment) >> 2;
    const field = 8 * segment;
    const rights = words[at + (SEGMENT.accessRights >> 2)];
    vmcs.save(GUEST_ES_BASE + field, words[at], words[at + 1]);
    vmcs.save(GUEST_ES_LIMIT + field, words[at + (SEGMENT.limit >> 2)]);
    vmcs.save(GUEST_ES_SELECTOR + field, words[at + (SEGMENT.selector >> 2)]);
    vmcs.save(GUEST_ES_AR_BYTES + field, segment === SS ? (rights & ~DPL) | (cpu.cpl << 5) : rights);
  }
}

function saveModelSpecific(cpu: Processor, vmcs: Vmcs, controls: ActiveControls): void {
  if (controls.onExit(EXIT.SAVE_DEBUG_CONTROLS)) {
    saveField(cpu, vmcs, GUEST_DR7, STATE.dr7);
    vmcs.save(GUEST_IA32_DEBUGCTL, Number(cpu.environment.msrs.get(IA32_DEBUGCTL)));
  }
  if (controls.onExit(EXIT.SAVE_IA32_PAT)) saveField(cpu, vmcs, GUEST_IA32_PAT, STATE.pat);
  if (controls.onExit(EXIT.SAVE_IA32_EFER)) saveField(cpu, vmcs, GUEST_IA32_EFER, STATE.efer);
}

/** Where IA32_VMX_MISC[5] is 1, the VM-entry control follows the guest into and out of IA-32e mode. */
export function saveLongMode(cpu: Processor, vmcs: Vmcs): void {
  const entry = vmcs.low(VM_ENTRY_CONTROLS);
  vmcs.save(VM_ENTRY_CONTROLS, cpu.longMode ? entry | ENTRY.IA32E_MODE_GUEST : entry & ~ENTRY.IA32E_MODE_GUEST);
}
