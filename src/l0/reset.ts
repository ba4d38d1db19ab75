// SPDX-License-Identifier: Apache-2.0
// A virtual CPU after power-up, INIT and a start-up IPI.

import { OFFSET } from '../arch/vmx/fields.ts';
import { ACTIVITY } from '../arch/vmx/state-bits.ts';
import { PROCESSOR_SIGNATURE } from '../arch/cpuid.ts';
import { setControlRegisters } from './control-registers.ts';
import type { Vcpu } from './vcpu.ts';
import { write32, writeNatural } from './vmcs-access.ts';

const { GUEST_ES_SELECTOR, GUEST_ES_BASE, GUEST_ES_LIMIT, GUEST_ES_AR_BYTES } = OFFSET;
const {
  GUEST_CR0,
  GUEST_RIP,
  GUEST_RFLAGS,
  GUEST_DR7,
  GUEST_GDTR_BASE,
  GUEST_GDTR_LIMIT,
  GUEST_IDTR_BASE,
  GUEST_IDTR_LIMIT,
} = OFFSET;
const { GUEST_INTERRUPTIBILITY_INFO, GUEST_PENDING_DBG_EXCEPTIONS, GUEST_ACTIVITY_STATE, VM_ENTRY_INTR_INFO_FIELD } =
  OFFSET;

export const SEGMENT_NUMBER = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;
const RDX = 2;
const RSP = 4;
const CACHE_BITS = 0x60000000;
const CR0_ET = 0x10;
const CODE_RIGHTS = 0x9b;
const DATA_RIGHTS = 0x93;
const DR6_RESET = 0xffff0ff0;
const DR7_RESET = 0x400;
const RIGHTS = [DATA_RIGHTS, CODE_RIGHTS, DATA_RIGHTS, DATA_RIGHTS, DATA_RIGHTS, DATA_RIGHTS, 0x82, 0x8b];

/** A segment register with its hidden part; `rights` as the VMCS has them. `base` is a signed Number. */
export function setSegment(
  vcpu: Vcpu,
  segment: number,
  selector: number,
  base: number,
  limit: number,
  rights: number,
): void {
  const { processor } = vcpu;
  const field = 8 * segment;
  write32(processor, GUEST_ES_SELECTOR + field, selector);
  writeNatural(processor, GUEST_ES_BASE + field, base);
  write32(processor, GUEST_ES_LIMIT + field, limit);
  write32(processor, GUEST_ES_AR_BYTES + field, rights);
}

/** What no boot plan says and INIT leaves alike: nothing pending, debug registers idle, no event under way. */
export function clearEvents(vcpu: Vcpu): void {
  const { processor, state } = vcpu;
  Object.assign(state, { activity: ACTIVITY.active, exceptionVector: -1, vectoring: 0, pendingNmi: 0, pendingInit: 0 });
  for (const field of [
    GUEST_INTERRUPTIBILITY_INFO,
    GUEST_PENDING_DBG_EXCEPTIONS,
    GUEST_ACTIVITY_STATE,
    VM_ENTRY_INTR_INFO_FIELD,
  ])
    write32(processor, field, 0);
  for (const register of ['cr2', 'dr0', 'dr1', 'dr2', 'dr3'] as const) processor.writeRegister(register, 0, 0);
  processor.writeRegister('dr6', DR6_RESET, 0);
  write32(processor, GUEST_DR7, DR7_RESET);
}

/**
 * INIT: real-address mode at the reset vector; a processor other than the first waits for a start-up IPI. INIT keeps
 * the MSRs, x87 and SSE state and the cache bits of CR0. The current VMCS is vmcs01.
 * See: SDM 10.1.1 Processor State After Reset.
 */
export function initialize(vcpu: Vcpu): void {
  const { processor } = vcpu;
  clearEvents(vcpu);
  vcpu.localApic.initialize();
  vcpu.machine.nested?.reset(vcpu);
  for (let register = 0; register < 16; register++) if (register !== RSP) processor.writeGeneral(register, 0, 0);
  vcpu.writeGeneral(RSP, 0, 0);
  vcpu.writeLow(RDX, PROCESSOR_SIGNATURE);
  RIGHTS.forEach((rights, segment) => setSegment(vcpu, segment, 0, 0, 0xffff, rights));
  setSegment(vcpu, SEGMENT_NUMBER.cs, 0xf000, 0xffff0000, 0xffff, CODE_RIGHTS);
  writeNatural(processor, GUEST_RIP, 0xfff0);
  write32(processor, GUEST_RFLAGS, 2);
  for (const [base, limit] of [
    [GUEST_GDTR_BASE, GUEST_GDTR_LIMIT],
    [GUEST_IDTR_BASE, GUEST_IDTR_LIMIT],
  ]) {
    writeNatural(processor, base, 0);
    write32(processor, limit, 0xffff);
  }
  if (vcpu.index === 0) enterRealMode(vcpu);
  else vcpu.state.activity = ACTIVITY.waitForSipi;
}

/** A start-up IPI: real-address mode at vector << 12. See: SDM 9.4.4.2 MP Initialization Protocol Algorithm. */
export function startUp(vcpu: Vcpu, vector: number): void {
  vcpu.state.pendingStartup = -1;
  vcpu.state.activity = ACTIVITY.active;
  setSegment(vcpu, SEGMENT_NUMBER.cs, vector << 8, vector << 12, 0xffff, CODE_RIGHTS);
  writeNatural(vcpu.processor, GUEST_RIP, 0);
  enterRealMode(vcpu);
}

function enterRealMode(vcpu: Vcpu): void {
  const cacheBits = vcpu.processor.readLow(GUEST_CR0) & CACHE_BITS;
  setControlRegisters(vcpu, { cr0: (CR0_ET | cacheBits) >>> 0, cr3Low: 0, cr3High: 0, cr4: 0, efer: 0 });
}
