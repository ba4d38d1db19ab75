// SPDX-License-Identifier: Apache-2.0
import { EXIT } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { CR4, EFER } from '../cpu/processor.ts';
import type { Processor } from '../cpu/processor.ts';
import { CS, DS, ES, FS, GS, LDTR, RSP, SS, STATE, TR } from '../cpu/state.ts';
import type { ActiveControls } from './active-controls.ts';
import { CR0_NOT_LOADED, IA32_DEBUGCTL, loadField, loadFields } from './guest-state.ts';
import type { Vmcs } from './vmcs.ts';

/** See: SDM 28.5.2 Loading Host Segment and Descriptor-Table Registers */
// prettier-ignore
const RIGHTS = { code64: 0xa09b, code32: 0xc09b, data: 0xc093, tss: 0x8b, unusable: 0x10000, unusableStack: 0x14000 } as const;
const TSS_LIMIT = 0x67;
const TABLE_LIMIT = 0xffff;
const FLAT_LIMIT = 0xffffffff;

// prettier-ignore
const PLAIN: readonly (readonly [field: number, state: number])[] = [
  [OFFSET.HOST_CR3,               STATE.cr3],
  [OFFSET.HOST_IA32_SYSENTER_CS,  STATE.sysenterCs],
  [OFFSET.HOST_IA32_SYSENTER_ESP, STATE.sysenterEsp],
  [OFFSET.HOST_IA32_SYSENTER_EIP, STATE.sysenterEip],
  [OFFSET.HOST_GDTR_BASE,         STATE.gdtrBase],
  [OFFSET.HOST_IDTR_BASE,         STATE.idtrBase],
  [OFFSET.HOST_RSP,               RSP * 8],
  [OFFSET.HOST_RIP,               STATE.rip],
];

const FLAT = Int32Array.from(PLAIN.flat());

// prettier-ignore
const DATA_SEGMENTS: readonly (readonly [segment: number, selector: number, base: number])[] = [
  [ES, OFFSET.HOST_ES_SELECTOR, -1],
  [SS, OFFSET.HOST_SS_SELECTOR, -1],
  [DS, OFFSET.HOST_DS_SELECTOR, -1],
  [FS, OFFSET.HOST_FS_SELECTOR, OFFSET.HOST_FS_BASE],
  [GS, OFFSET.HOST_GS_SELECTOR, OFFSET.HOST_GS_BASE],
];

const { HOST_CR0, HOST_CR4, HOST_CS_SELECTOR, HOST_TR_SELECTOR, HOST_TR_BASE, HOST_IA32_PAT, HOST_IA32_EFER } = OFFSET;

/** Loads the host's registers; `modeChanged` and `pagingChanged` are the caller's. See: SDM 28.5 Loading Host State */
export function loadHostRegisters(cpu: Processor, vmcs: Vmcs, controls: ActiveControls): void {
  const { host64 } = controls;
  loadFields(cpu, vmcs, FLAT);
  cpu.words[STATE.cr0 >> 2] = (vmcs.low(HOST_CR0) & ~CR0_NOT_LOADED) | (cpu.cr0 & CR0_NOT_LOADED);
  const cr4 = vmcs.low(HOST_CR4);
  cpu.words[STATE.cr4 >> 2] = host64 ? cr4 | CR4.PAE : cr4 & ~CR4.PCIDE;
  cpu.set64(STATE.dr7, 0x400n);
  cpu.environment.msrs.set(IA32_DEBUGCTL, 0n);
  if (controls.onExit(EXIT.LOAD_IA32_PAT)) loadField(cpu, vmcs, HOST_IA32_PAT, STATE.pat);
  const long = EFER.LMA | EFER.LME;
  if (controls.onExit(EXIT.LOAD_IA32_EFER)) cpu.words[STATE.efer >> 2] = vmcs.low(HOST_IA32_EFER);
  else cpu.words[STATE.efer >> 2] = host64 ? cpu.efer | long : cpu.efer & ~long;
  loadHostSegments(cpu, vmcs, host64);
  cpu.rflags = 2;
  cpu.words[STATE.cpl >> 2] = 0;
}

function loadHostSegments(cpu: Processor, vmcs: Vmcs, host64: boolean): void {
  cpu.setSegment(CS, vmcs.low(HOST_CS_SELECTOR), 0, FLAT_LIMIT, host64 ? RIGHTS.code64 : RIGHTS.code32);
  for (const [segment, field, base] of DATA_SEGMENTS) {
    const selector = vmcs.low(field);
    const unusable = segment === SS ? RIGHTS.unusableStack : RIGHTS.unusable;
    const rights = selector === 0 ? unusable : RIGHTS.data;
    cpu.setSegment(segment, selector, base < 0 ? 0 : vmcs.signed(base), FLAT_LIMIT, rights);
  }
  cpu.setSegment(TR, vmcs.low(HOST_TR_SELECTOR), vmcs.signed(HOST_TR_BASE), TSS_LIMIT, RIGHTS.tss);
  cpu.setSegment(LDTR, 0, 0, 0, RIGHTS.unusable);
  cpu.set32(STATE.gdtrLimit, TABLE_LIMIT);
  cpu.set32(STATE.idtrLimit, TABLE_LIMIT);
}
