// SPDX-License-Identifier: Apache-2.0
// An exit to L1 loads vmcs12's host state: it becomes the guest state of vmcs01, which is current here.
// See: SDM 28.5 Loading Host State

import { EXIT } from '../../arch/vmx/controls.ts';
import { VMX_ABORT } from '../../arch/vmx/errors.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { BLOCKING_BY_NMI, CR0_PG, CR4_PAE, CR4_PCIDE, EFER_LMA, EFER_LME } from '../../arch/vmx/state-bits.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import { PDPTE_RESERVED_LOW } from '../../arch/control-registers.ts';
import { setControlRegisters } from '../control-registers.ts';
import type { Vcpu } from '../vcpu.ts';
import { write32 } from '../vmcs-access.ts';

const {
  HOST_CR0,
  HOST_CR3,
  HOST_CR4,
  HOST_CS_SELECTOR,
  HOST_TR_SELECTOR,
  HOST_TR_BASE,
  HOST_IA32_PAT,
  HOST_IA32_EFER,
} = OFFSET;
const { GUEST_IA32_PAT, GUEST_IA32_DEBUGCTL, GUEST_DR7, GUEST_RFLAGS, GUEST_ACTIVITY_STATE, GUEST_PDPTR0 } = OFFSET;
const { GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS, GUEST_GDTR_LIMIT, GUEST_IDTR_LIMIT } = OFFSET;

/** Fields that go over as they are. */
// prettier-ignore
const PLAIN: readonly (readonly [host: number, guest: number])[] = [
  [OFFSET.HOST_IA32_SYSENTER_CS,  OFFSET.GUEST_SYSENTER_CS],
  [OFFSET.HOST_IA32_SYSENTER_ESP, OFFSET.GUEST_SYSENTER_ESP],
  [OFFSET.HOST_IA32_SYSENTER_EIP, OFFSET.GUEST_SYSENTER_EIP],
  [OFFSET.HOST_GDTR_BASE,         OFFSET.GUEST_GDTR_BASE],
  [OFFSET.HOST_IDTR_BASE,         OFFSET.GUEST_IDTR_BASE],
  [OFFSET.HOST_RSP,               OFFSET.GUEST_RSP],
  [OFFSET.HOST_RIP,               OFFSET.GUEST_RIP],
];

/** Segments by their place among the guest-state fields: ES 0 .. TR 7. */
// prettier-ignore
const DATA_SEGMENTS: readonly (readonly [segment: number, selector: number, base: number])[] = [
  [0, OFFSET.HOST_ES_SELECTOR, -1],
  [2, OFFSET.HOST_SS_SELECTOR, -1],
  [3, OFFSET.HOST_DS_SELECTOR, -1],
  [4, OFFSET.HOST_FS_SELECTOR, OFFSET.HOST_FS_BASE],
  [5, OFFSET.HOST_GS_SELECTOR, OFFSET.HOST_GS_BASE],
];
const [CS, SS, LDTR, TR] = [1, 2, 6, 7];

/** See: SDM 28.5.2 Loading Host Segment and Descriptor-Table Registers */
// prettier-ignore
const RIGHTS = { code64: 0xa09b, code32: 0xc09b, data: 0xc093, tss: 0x8b, unusable: 0x10000, unusableStack: 0x14000 } as const;
const TSS_LIMIT = 0x67;
const TABLE_LIMIT = 0xffff;
const FLAT_LIMIT = 0xffffffff;
/** CR0: ET, CD, NW and the reserved bits are not loaded. See: SDM 28.5.1 Loading Host Control Registers, Debug Registers, MSRs */
const CR0_NOT_LOADED = 0x7ffaffd0;
const DR7_RESET = 0x400;
const RFLAGS_RESET = 2;

/** What of L2 an exit leaves in the processor. */
export interface LeftByL2 {
  readonly cr0: number;
  readonly efer: number;
  /** IA32_PAT, where vmcs01 has a field for it. */
  readonly patLow: number;
  readonly patHigh: number;
  /** NMIs are blocked once L1 runs. */
  readonly nmiBlocked: boolean;
}

/** Returns the indicator of a VMX abort, or 0. `v12`: vmcs12. */
export function loadHostState(vcpu: Vcpu, v12: VmcsView, left: LeftByL2): number {
  const { processor } = vcpu;
  const exit = v12.low(OFFSET.VM_EXIT_CONTROLS);
  const host64 = (exit & EXIT.HOST_ADDRESS_SPACE_SIZE) !== 0;
  if ((left.efer & EFER_LMA) !== 0 && !host64) return VMX_ABORT.HOST_NOT_IA32E_MODE;
  const long = EFER_LMA | EFER_LME;
  const efer = exit & EXIT.LOAD_IA32_EFER ? v12.low(HOST_IA32_EFER) : host64 ? left.efer | long : left.efer & ~long;
  const cr0 = ((v12.low(HOST_CR0) & ~CR0_NOT_LOADED) | (left.cr0 & CR0_NOT_LOADED)) >>> 0;
  const cr4 = (host64 ? v12.low(HOST_CR4) | CR4_PAE : v12.low(HOST_CR4) & ~CR4_PCIDE) >>> 0;
  setControlRegisters(vcpu, { cr0, cr3Low: v12.low(HOST_CR3), cr3High: v12.high(HOST_CR3), cr4, efer });
  for (const [host, guest] of PLAIN) processor.write(guest, v12.low(host), v12.high(host));
  processor.write(GUEST_DR7, DR7_RESET, 0);
  processor.write(GUEST_IA32_DEBUGCTL, 0, 0);
  loadPat(vcpu, v12, left, (exit & EXIT.LOAD_IA32_PAT) !== 0);
  loadSegments(vcpu, v12, host64);
  write32(processor, GUEST_RFLAGS, RFLAGS_RESET);
  write32(processor, GUEST_ACTIVITY_STATE, 0);
  write32(processor, GUEST_INTERRUPTIBILITY_INFO, left.nmiBlocked ? BLOCKING_BY_NMI : 0);
  write32(processor, GUEST_PENDING_DBG_EXCEPTIONS, 0);
  const pae = (cr0 & CR0_PG) !== 0 && (cr4 & CR4_PAE) !== 0 && !host64;
  return pae && !loadPdptes(vcpu, v12.low(HOST_CR3)) ? VMX_ABORT.HOST_PDPTE_CHECKS : 0;
}

/** Without a field, and so without the control, IA32_PAT stays in the processor. */
function loadPat(vcpu: Vcpu, v12: VmcsView, left: LeftByL2, loads: boolean): void {
  const { processor } = vcpu;
  if (left.patLow < 0) return;
  if (loads) processor.write(GUEST_IA32_PAT, v12.low(HOST_IA32_PAT), v12.high(HOST_IA32_PAT));
  else processor.write(GUEST_IA32_PAT, left.patLow, left.patHigh);
}

function loadSegments(vcpu: Vcpu, v12: VmcsView, host64: boolean): void {
  const { processor } = vcpu;
  const set = (
    segment: number,
    selector: number,
    baseLow: number,
    baseHigh: number,
    limit: number,
    rights: number,
  ): void => {
    const field = 8 * segment;
    write32(processor, OFFSET.GUEST_ES_SELECTOR + field, selector);
    processor.write(OFFSET.GUEST_ES_BASE + field, baseLow, baseHigh);
    write32(processor, OFFSET.GUEST_ES_LIMIT + field, limit);
    write32(processor, OFFSET.GUEST_ES_AR_BYTES + field, rights);
  };
  set(CS, v12.low(HOST_CS_SELECTOR), 0, 0, FLAT_LIMIT, host64 ? RIGHTS.code64 : RIGHTS.code32);
  for (const [segment, field, base] of DATA_SEGMENTS) {
    const selector = v12.low(field);
    const unusable = segment === SS ? RIGHTS.unusableStack : RIGHTS.unusable;
    set(
      segment,
      selector,
      base < 0 ? 0 : v12.low(base),
      base < 0 ? 0 : v12.high(base),
      FLAT_LIMIT,
      selector === 0 ? unusable : RIGHTS.data,
    );
  }
  set(TR, v12.low(HOST_TR_SELECTOR), v12.low(HOST_TR_BASE), v12.high(HOST_TR_BASE), TSS_LIMIT, RIGHTS.tss);
  set(LDTR, 0, 0, 0, 0, RIGHTS.unusable);
  write32(processor, GUEST_GDTR_LIMIT, TABLE_LIMIT);
  write32(processor, GUEST_IDTR_LIMIT, TABLE_LIMIT);
}

/** False: an entry has a reserved bit set. */
function loadPdptes(vcpu: Vcpu, cr3: number): boolean {
  const { memory, cpuid } = vcpu.machine;
  for (let i = 0; i < 4; i++) {
    const entry = ((cr3 & ~0x1f) >>> 0) + 8 * i;
    const low = memory.read32(entry);
    const high = memory.read32(entry + 4);
    if ((low & 1) !== 0 && ((low & PDPTE_RESERVED_LOW) !== 0 || high >= 2 ** (cpuid.physicalAddressBits - 32)))
      return false;
    vcpu.processor.write(GUEST_PDPTR0 + 8 * i, low, high);
  }
  return true;
}
