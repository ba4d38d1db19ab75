// SPDX-License-Identifier: Apache-2.0
// Nested VMX: what makes L1 a hypervisor. L0 calls this when L1 executes a VMX instruction, when L2 exits, and before
// L2 is entered. Which VMCS is current says `vcpu.state.level`: 1 vmcs01, 2 vmcs02.

import { ENTRY_FAILURE_BIT, EXIT_REASON, exitReason } from '../../arch/vmx/exit-reasons.ts';
import { EPT_VIOLATION } from '../../arch/vmx/qualifications.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { BLOCKING_BY_NMI } from '../../arch/vmx/state-bits.ts';
import { eptSupports } from '../../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { assert } from '../../base/assert.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Halves } from '../../hardware/vmx.ts';
import { PAGE_BYTES } from '../host-allocator.ts';
import { emulateInstruction } from '../emulator/mmio-emulator.ts';
import type { ForbiddenAccess, NestedHooks, NestedHost } from '../nested-hooks.ts';
import type { Vcpu } from '../vcpu.ts';
import { readAddress, setBits } from '../vmcs-access.ts';
import {
  accessCr8WithoutMemory,
  inApicAccessPage,
  isTprWithoutMemory,
  virtualApicAddress,
} from './apic-access-page.ts';
import { takeBack } from './branch-steps.ts';
import { capabilitiesForL1, capabilityMsr } from './capabilities.ts';
import type { Paging } from './capabilities.ts';
import { countsInstruction } from './clock.ts';
import { Composition, ProcessorView } from './composition.ts';
import { writeEferOfL2 } from './efer.ts';
import {
  deliverToL1,
  interruptedInjection,
  precedesInterruptWindow,
  prepareEntryOfL2,
  withdrawResumeFlag,
  restoreInjection,
} from './events.ts';
import { hardwareExit } from './exit-information.ts';
import type { ExitInformation } from './exit-information.ts';
import { exitRoute, ownerOf } from './exit-routes.ts';
import { leaveByAccess, neededFor } from './leave-by-access.ts';
import { leaveL2 } from './leave-l2.ts';
import { NestedVcpu } from './nested-vcpu.ts';
import { composeTscOffset, readTscOfL2 } from './time-stamp-counter.ts';
import { undeliverable } from './undeliverable.ts';
import { fixedBitsHold, leaveOperation, vmxInstruction } from './vmx-instructions.ts';
import { NO_VMCS } from './vmcs12.ts';

const { GUEST_PHYSICAL_ADDRESS, GUEST_INTERRUPTIBILITY_INFO, TSC_OFFSET } = OFFSET;
const BASIC_REASON = 0xffff;
const VALID = 0x80000000;
const IA32_TIME_STAMP_COUNTER = 0x10;
const IA32_EFER = 0xc0000080;
const [RAX, RCX, RDX] = [0, 1, 2];
const INVALID_OPCODE = 6;
const GENERAL_PROTECTION = 13;
/** What EPT02s may take of L0's pages, for all virtual CPUs together. */
const EPT02_SHARE = 0.75;

export interface NestedOptions {
  /** `shadow-on-ept`: L1 is shown no EPT, so that it makes shadow page tables for L2. */
  readonly paging?: Paging;
}

export class NestedVmx implements NestedHooks {
  /** What L1 sees of VMX. */
  readonly capabilities: VmxCapabilities;
  readonly #vcpus: readonly NestedVcpu[];
  readonly #host: NestedHost;

  constructor(host: NestedHost, options: NestedOptions = {}) {
    const { allocator, memory, vcpus } = host;
    this.#host = host;
    this.capabilities = capabilitiesForL1(vcpus[0].processor.capabilities, options.paging ?? 'multi-dimensional');
    const hole = allocator.allocate();
    memory.write(hole, new Uint8Array(PAGE_BYTES).fill(0xff));
    const pageLimit = Math.floor((allocator.free * EPT02_SHARE) / vcpus.length);
    this.#vcpus = vcpus.map((vcpu) => new NestedVcpu(host, vcpu, this.capabilities, { hole, pageLimit }));
  }

  /** Nesting's part of a virtual CPU: for tests, explanations and snapshots. */
  of(vcpu: Vcpu): NestedVcpu {
    return this.#vcpus[vcpu.index];
  }

  // --- L1

  readCapability(index: number): Halves | undefined {
    return capabilityMsr(this.capabilities, index);
  }
  allowsControl(vcpu: Vcpu, register: 0 | 4, value: number): boolean {
    const nested = this.of(vcpu);
    return nested.state.vmxOperation === 0 || fixedBitsHold(nested, register, value);
  }
  blocksInit(vcpu: Vcpu): boolean {
    return vcpu.state.level === 1 && this.of(vcpu).state.vmxOperation !== 0;
  }
  vmxInstruction(vcpu: Vcpu, reason: number): void {
    vmxInstruction(this.of(vcpu), reason);
  }
  reset(vcpu: Vcpu): void {
    const nested = this.of(vcpu);
    assert(vcpu.state.level === 1, 'INIT is blocked in VMX operation, or L2 has left by it');
    if (nested.state.vmxOperation !== 0) leaveOperation(nested);
    nested.state.vmxonPointer = NO_VMCS;
  }

  // --- L2

  handlesExit(vcpu: Vcpu, reason: number): boolean {
    const nested = this.of(vcpu);
    if (reason >= ENTRY_FAILURE_BIT) return false;
    takeBack(nested);
    if (reason === EXIT_REASON.EXTERNAL_INTERRUPT) {
      deliverToL1(nested);
      return true;
    }
    if (reason === EXIT_REASON.INTERRUPT_WINDOW && precedesInterruptWindow(nested)) return true;
    const exit = hardwareExit(new ProcessorView(vcpu.processor));
    const owner = this.#ownerOf(nested, exit);
    if (owner === 'EPT12') return this.#throughEpt12(nested, exit);
    if (isTprWithoutMemory(nested, exit) && this.#servesTpr(nested, exit, owner)) return true;
    this.#trace(nested, exit, owner);
    if (owner === 'L0') return this.#servedHere(nested, reason);
    if (this.#isHidden(exit.reason)) vcpu.raise(INVALID_OPCODE);
    else this.#reflect(nested, exit);
    return true;
  }

  beforeEntry(vcpu: Vcpu): void {
    prepareEntryOfL2(this.of(vcpu));
  }

  /** L2 halts in hardware; L0 halts nobody at level 2. */
  wakes(): boolean {
    return true;
  }

  undeliverable(vcpu: Vcpu): void {
    undeliverable(this.of(vcpu));
  }

  /** vmcs02 is current. */
  tscOffsetChanged(vcpu: Vcpu): void {
    const nested = this.of(vcpu);
    const offset: Halves = { low: 0, high: 0 };
    composeTscOffset(new Composition(nested, new ProcessorView(vcpu.processor), nested.vmcs12), offset);
    vcpu.processor.write(TSC_OFFSET, offset.low, offset.high);
  }

  toL1Physical(vcpu: Vcpu, address: PhysicalAddress, needed: number, structure: boolean): PhysicalAddress {
    const nested = this.of(vcpu);
    if (vcpu.state.level === 1) return address;
    const at = nested.ept12
      ? nested.multiDimensional.translate(nested.eptp12, address, neededFor(nested, needed, structure))
      : address;
    return at >= 0 && inApicAccessPage(nested, at) ? virtualApicAddress(nested, at, needed, structure) : at;
  }
  leaveByAccess(vcpu: Vcpu, access: ForbiddenAccess): void {
    leaveByAccess(this.of(vcpu), access);
  }

  /** EPT01 has changed: what EPT02s have of it is stale. */
  ept01Changed(): void {
    for (const nested of this.#vcpus) nested.multiDimensional.invalidateAll();
  }

  #ownerOf(nested: NestedVcpu, exit: ExitInformation): 'L0' | 'L1' | 'EPT12' {
    const { vcpu, vmcs12 } = nested;
    const row = exitRoute(exit.reason & BASIC_REASON);
    assert(row !== undefined, `exit reason ${exit.reason} has a route`);
    return ownerOf(row.route, {
      vmcs12,
      exit,
      l1: vcpu.machine.memory,
      register: (number) => {
        const value: Halves = { low: 0, high: 0 };
        vcpu.readGeneral(number, value);
        return value;
      },
    });
  }

  /** An instruction that L1's processor does not have, although the machine's does: #UD for L2, too. */
  #isHidden(reason: number): boolean {
    return reason === EXIT_REASON.INVEPT && !eptSupports(this.capabilities, 'INVEPT');
  }

  #reflect(nested: NestedVcpu, exit: ExitInformation): void {
    const interrupted = interruptedInjection(nested);
    if (countsInstruction(exit, interrupted)) nested.vcpu.count();
    if (interrupted) withdrawResumeFlag(nested, exit);
    leaveL2(nested, exit, true);
  }

  /** The four outcomes of paper.md 3.3. Under shadow-on-EPT the violation is one of EPT01, which is L0's alone. */
  #throughEpt12(nested: NestedVcpu, exit: ExitInformation): boolean {
    const { vcpu, multiDimensional } = nested;
    if (!nested.ept12) {
      this.#trace(nested, exit, 'L0');
      return this.#servedHere(nested, exit.reason);
    }
    assert(exit.reason === EXIT_REASON.EPT_VIOLATION, 'EPT02 is well-formed');
    const address = readAddress(vcpu.processor, GUEST_PHYSICAL_ADDRESS);
    const outcome = multiDimensional.violation(nested.eptp12, address, exit.qualificationLow);
    this.#trace(nested, exit, outcome);
    if (outcome === 'filled') this.#tryAgain(nested, exit);
    else if (outcome === 'device') this.#atDevice(nested, exit);
    else
      this.#reflect(
        nested,
        outcome === 'violation'
          ? violationOfEpt12(exit, multiDimensional.permissions12)
          : misconfigurationOfEpt12(exit),
      );
    return true;
  }

  /** L2 does not learn of an EPT02 miss: an event goes on being delivered, and an IRET blocks NMIs again. */
  #tryAgain(nested: NestedVcpu, exit: ExitInformation): void {
    const { vcpu } = nested;
    const vectoring = (exit.vectoring & VALID) !== 0;
    // The delivery that the exit undid had been counted, as it is on the bare machine; entering with the event is not.
    const injection = interruptedInjection(nested);
    if (vectoring && countsInstruction(exit, injection)) vcpu.count();
    if (injection) restoreInjection(nested);
    vcpu.keepInterruptedDelivery();
    if (!vectoring) blockNmisAgain(vcpu, exit);
  }

  /**
   * L1 gave a device of its own to L2. Events cannot be delivered through one, nor could #UD instead.
   */
  #atDevice(nested: NestedVcpu, exit: ExitInformation): void {
    const { vcpu, state } = nested;
    if ((exit.vectoring & VALID) !== 0) return undeliverable(nested);
    blockNmisAgain(vcpu, exit);
    state.completedForL2 = 1;
    emulateInstruction(vcpu);
  }

  /** False: L1 has asked for the exit by more than its TPR shadow. */
  #servesTpr(nested: NestedVcpu, exit: ExitInformation, owner: 'L0' | 'L1'): boolean {
    const { vcpu, state } = nested;
    if (exit.reason === EXIT_REASON.CR_ACCESS && owner === 'L1') return false;
    state.completedForL2 = 1;
    if (exit.reason === EXIT_REASON.CR_ACCESS) accessCr8WithoutMemory(vcpu, exit);
    else if ((exit.vectoring & VALID) !== 0) undeliverable(nested);
    else emulateInstruction(vcpu);
    return true;
  }

  /** False: L0's ordinary handler serves the exit for L2. Two MSRs mean something else in L2 than in L1. */
  #servedHere(nested: NestedVcpu, reason: number): boolean {
    const { vcpu, state } = nested;
    const row = exitReason(reason);
    if (reason === EXIT_REASON.INTERRUPT_WINDOW || reason === EXIT_REASON.NMI_WINDOW) {
      state.windowMet = reason;
      return true;
    }
    if (row?.class === 'event') return false;
    state.completedForL2 = 1;
    if (readsTsc(vcpu, reason)) {
      readTscOfL2(nested, reason === EXIT_REASON.RDTSCP);
      return true;
    }
    if (reason !== EXIT_REASON.MSR_WRITE || vcpu.low(RCX) !== IA32_EFER) return false;
    const { eferSupported } = nested.context.facts;
    if (writeEferOfL2(vcpu, vcpu.low(RAX), vcpu.low(RDX), eferSupported)) vcpu.completeInstruction();
    else vcpu.raise(GENERAL_PROTECTION, 0);
    return true;
  }

  #trace({ vcpu }: NestedVcpu, exit: ExitInformation, to: string): void {
    const { recorder, time } = this.#host;
    if (!recorder.tracing) return;
    const rule = exitRoute(exit.reason & BASIC_REASON)?.because ?? '';
    recorder.event('turtles_exit_route', 0, vcpu.index, time.nanoseconds(), {
      vcpu_id: vcpu.index,
      exit_reason: exit.reason,
      to,
      rule,
    });
  }
}

const readsTsc = (vcpu: Vcpu, reason: number): boolean =>
  reason === EXIT_REASON.RDTSC ||
  reason === EXIT_REASON.RDTSCP ||
  (reason === EXIT_REASON.MSR_READ && vcpu.low(RCX) === IA32_TIME_STAMP_COUNTER);

/** IRET had unblocked NMIs before it met the violation, and is going to be executed again. */
function blockNmisAgain(vcpu: Vcpu, exit: ExitInformation): void {
  if (extract(EPT_VIOLATION.NMI_UNBLOCKING, exit.qualificationLow) === 1)
    setBits(vcpu.processor, GUEST_INTERRUPTIBILITY_INFO, BLOCKING_BY_NMI, true);
}

function violationOfEpt12(exit: ExitInformation, permissions12: number): ExitInformation {
  return { ...exit, qualificationLow: ((exit.qualificationLow & ~0x38) | (permissions12 << 3)) >>> 0 };
}

/** No qualification, and no linear address. */
function misconfigurationOfEpt12(exit: ExitInformation): ExitInformation {
  return { ...exit, reason: EXIT_REASON.EPT_MISCONFIG, qualificationLow: 0, qualificationHigh: 0 };
}
