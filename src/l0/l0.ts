// SPDX-License-Identifier: Apache-2.0
import { BASIC_REASON, describeFailedEntry } from './failed-entry.ts';
import { ENTRY_FAILURE_BIT, EXIT_REASONS, exitReason } from '../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { ACTIVITY } from '../arch/vmx/state-bits.ts';
import { assert } from '../base/assert.ts';
import type { TimerService } from '../hardware/time.ts';
import type { ExitVerdict, HostMemory, RootMachine, RootProcessor, RootSoftware } from '../hardware/vmx.ts';
import { APIC_BASE } from '../devices/lapic-base.ts';
import { noRecorder } from '../trace/recorder.ts';
import type { Recorder } from '../trace/recorder.ts';
import { bootL1 } from './boot-l1.ts';
import type { L1BootPlan, L1Firmware } from './boot-l1.ts';
import { injectEvents, wakesHalted } from './events.ts';
import { EXIT_HANDLERS } from './exits/handlers.ts';
import { HostAllocator } from './host-allocator.ts';
import { CHUNK_BYTES, L1Memory } from './l1-memory.ts';
import { resetMsrs } from './msrs.ts';
import type { NestedHooks, NestedHost } from './nested-hooks.ts';
import { initialize, startUp } from './reset.ts';
import { Vcpu } from './vcpu.ts';
import { VirtualMachine } from './virtual-machine.ts';
import type { L1Description, L1Services } from './virtual-machine.ts';
import { readNatural } from './vmcs-access.ts';
import { allocateVcpuPages, buildVmcs01 } from './vmcs01.ts';

const { VM_EXIT_REASON, GUEST_RIP } = OFFSET;

/**
 * By basic exit reason: an instruction made the exit, and will not be executed again. Task switches are also made by the
 * delivery of events: clock.ts of nesting tells them apart.
 */
const COUNTED: readonly boolean[] = EXIT_REASONS.reduce<boolean[]>((counted, row) => {
  counted[row.number] = row.class === 'instruction' && row.name !== 'TASK_SWITCH';
  return counted;
}, []);

/** What of the machine's memory L0 keeps for itself: vmcs, bitmaps, EPT01, and an EPT02 for every EPT12 in use. */
export const L0_MEMORY_BYTES = 32 * 2 ** 20;

export interface L0Options {
  readonly recorder?: Recorder;
  /** Gives L1 VMX of its own. */
  readonly nested?: (host: NestedHost) => NestedHooks;
}

/**
 * The Turtles hypervisor. It owns the machine's root operation and runs L1, one virtual CPU on each processor. All it
 * does it does in `exit`: find out why the guest left, serve that, choose the event to enter with, and enter.
 *
 * Its memory is the bottom of the machine's; L1's lies above, so that no address of L1 is the same in the machine.
 */
export class L0 implements RootSoftware, NestedHost {
  readonly memory: HostMemory;
  readonly allocator: HostAllocator;
  readonly l1: VirtualMachine;
  readonly vcpus: readonly Vcpu[];
  readonly time: TimerService;
  readonly recorder: Recorder;

  /** The machine must have `L1Memory.hostBytes(ramBytes)` and at least 2 MiB more; `L0_MEMORY_BYTES` more is ample. */
  constructor(
    machine: RootMachine,
    time: TimerService,
    description: L1Description,
    services: L1Services,
    options: L0Options = {},
  ) {
    const { memory, processors } = machine;
    const own = Math.floor((memory.bytes - L1Memory.hostBytes(description.ramBytes)) / CHUNK_BYTES) * CHUNK_BYTES;
    assert(own > 0, 'the machine has memory for L0 beside that of L1');
    this.memory = memory;
    this.time = time;
    this.recorder = options.recorder ?? noRecorder;
    this.allocator = new HostAllocator(memory, 0, own);
    const { capabilities } = processors[0];
    this.l1 = new VirtualMachine(
      memory,
      this.allocator,
      own,
      capabilities,
      options.nested !== undefined,
      time,
      description,
      services,
      this.recorder,
    );
    // Where a local APIC lies after power-up; one that moves is found through EPT violations.
    this.l1.ept01.mapPage(APIC_BASE.DEFAULT, this.l1.apicAccessPage);
    this.vcpus = Array.from({ length: description.processors }, (_, index) => {
      return new Vcpu(index, processors[index], this.l1, allocateVcpuPages(memory, this.allocator, capabilities));
    });
    for (const vcpu of this.vcpus) this.powerUp(vcpu);
    this.l1.nested = options.nested?.(this);
  }

  private powerUp(vcpu: Vcpu): void {
    buildVmcs01(vcpu.processor, vcpu.pages, this.l1);
    resetMsrs(vcpu);
    // The boot processor's registers come with the boot plan.
    vcpu.attending = true;
    if (vcpu.index > 0) initialize(vcpu);
    vcpu.attending = false;
  }

  /** Puts a kernel and what it needs into L1's memory, and the boot processor at its entry. */
  boot(plan: L1BootPlan, firmware: L1Firmware): void {
    bootL1(this.l1, this.vcpus, plan, firmware);
  }

  exit(processor: RootProcessor): ExitVerdict {
    const vcpu = this.vcpus[processor.index];
    const reason = processor.readLow(VM_EXIT_REASON);
    vcpu.attending = true;
    this.recorder.exit(
      vcpu.state.level,
      vcpu.index,
      reason,
      readNatural(processor, GUEST_RIP),
      this.time.nanoseconds(),
    );
    if (this.recorder.tracing) this.traceExit(vcpu, reason);
    vcpu.breakpointsMet = 0;
    if (COUNTED[reason & BASIC_REASON]) vcpu.count();
    if (vcpu.state.level === 1 || this.l1.nested?.handlesExit(vcpu, reason) !== true) this.serve(vcpu, reason);
    return this.goOn(vcpu);
  }

  kicked(processor: RootProcessor): ExitVerdict {
    const vcpu = this.vcpus[processor.index];
    vcpu.attending = true;
    return this.goOn(vcpu);
  }

  entryFailed(processor: RootProcessor, error: number): never {
    throw describeFailedEntry(processor, this.l1.cpuid.physicalAddressBits, `VM-instruction error ${error}`);
  }

  /** L0's own part: an exit of L1, or one of L2 that L1 has no say in. */
  private serve(vcpu: Vcpu, reason: number): void {
    if ((reason & ENTRY_FAILURE_BIT) !== 0)
      throw describeFailedEntry(
        vcpu.processor,
        this.l1.cpuid.physicalAddressBits,
        `exit reason ${reason & BASIC_REASON}`,
      );
    const handler = EXIT_HANDLERS[reason & BASIC_REASON];
    assert(handler !== undefined, `L0 serves exits by ${exitReason(reason & BASIC_REASON)?.title ?? reason}`);
    vcpu.keepInterruptedDelivery();
    handler(vcpu, reason & BASIC_REASON);
  }

  /** After whatever happened: enters with the event that is due, or leaves the processor halted. */
  private goOn(vcpu: Vcpu): ExitVerdict {
    this.takeInit(vcpu);
    const verdict = this.wakes(vcpu) ? this.enter(vcpu) : 'halt';
    vcpu.attending = false;
    return verdict;
  }

  private enter(vcpu: Vcpu): ExitVerdict {
    if (vcpu.state.level === 2) this.l1.nested?.beforeEntry(vcpu);
    // What was due to L2 became an exit to L1, and that a VMX abort.
    if (vcpu.state.activity !== ACTIVITY.active) return 'halt';
    if (vcpu.state.level === 1) injectEvents(vcpu);
    this.recorder.entry(vcpu.state.level, vcpu.index, this.time.nanoseconds());
    if (this.recorder.tracing)
      this.recorder.event('kvm_entry', 0, vcpu.index, this.time.nanoseconds(), {
        vcpu_id: vcpu.index,
        rip: readNatural(vcpu.processor, GUEST_RIP),
      });
    return 'enter';
  }

  /** Whether the virtual CPU has something to execute; ends HLT if it is over. */
  private wakes(vcpu: Vcpu): boolean {
    const { state } = vcpu;
    if (state.activity === ACTIVITY.hlt) {
      const woken = state.level === 1 ? wakesHalted(vcpu) : this.l1.nested?.wakes(vcpu) === true;
      if (woken) state.activity = ACTIVITY.active;
    }
    return state.activity === ACTIVITY.active;
  }

  /** INIT, then a start-up IPI, if they came and are not blocked. See: SDM 9.4.4 MP Initialization Example. */
  private takeInit(vcpu: Vcpu): void {
    const { state } = vcpu;
    if (state.pendingInit !== 0 && state.level === 1 && this.l1.nested?.blocksInit(vcpu) !== true) initialize(vcpu);
    if (state.pendingStartup >= 0 && state.activity === ACTIVITY.waitForSipi) startUp(vcpu, state.pendingStartup);
  }

  private traceExit(vcpu: Vcpu, reason: number): void {
    const { processor } = vcpu;
    this.recorder.event('kvm_exit', 0, vcpu.index, this.time.nanoseconds(), {
      vcpu_id: vcpu.index,
      exit_reason: reason,
      guest_rip: readNatural(processor, GUEST_RIP),
      info1: readNatural(processor, OFFSET.EXIT_QUALIFICATION),
      info2: processor.readLow(OFFSET.IDT_VECTORING_INFO_FIELD),
      intr_info: processor.readLow(OFFSET.VM_EXIT_INTR_INFO),
      error_code: processor.readLow(OFFSET.VM_EXIT_INTR_ERROR_CODE),
    });
  }
}
