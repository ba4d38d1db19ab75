// SPDX-License-Identifier: Apache-2.0
import { PIN, SECONDARY } from '../../arch/vmx/controls.ts';
import { MISC, EPT_CAP } from '../../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { initialBasicState } from '../../arch/vmx/basic-checks.ts';
import { extract } from '../../arch/vmx/bit-field.ts';
import { LAUNCH_STATE } from '../../arch/vmx/encoding.ts';
import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { processorFacts } from '../../arch/vmx/processor-facts.ts';
import type { EntryContext, ProcessorFacts } from '../../arch/vmx/processor-facts.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { RootSoftware } from '../../hardware/vmx.ts';
import type { InstructionExit } from '../../arch/instructions/row.ts';
import type { Instruction } from '../../decode/instruction.ts';
import type { InterceptDetails, MutableHalves, VmxHooks } from '../cpu/environment.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import { eventHooks } from '../cpu/microcode/interrupt-delivery.ts';
import type { Delivery, EventHooks } from '../cpu/microcode/interrupt-delivery.ts';
import type { Event } from '../cpu/microcode/exceptions.ts';
import { pushedFlags } from '../cpu/microcode/pushed-flags.ts';
import type { TaskSwitchHooks } from '../cpu/microcode/task-switch.ts';
import { RFLAGS } from '../cpu/processor.ts';
import type { LinearAddress, Processor } from '../cpu/processor.ts';
import { ACTIVITY } from '../cpu/run-loop.ts';
import { ATTENTION, STATE } from '../cpu/state.ts';
import { PHYSICAL_ADDRESS_BITS } from '../mmu/walk.ts';
import { ActiveControls, NO_PAGE } from './active-controls.ts';
import * as boundary from './boundary.ts';
import { CheckedVmcss } from './checked-vmcs.ts';
import { allowedControl, shownControl, writtenControl } from './control-registers.ts';
import { counted, interceptEvent, interceptTaskSwitch, tripleFault } from './event-intercepts.ts';
import { BLOCKING, makeExit } from './exit.ts';
import { ExitInformation } from './exit-information.ts';
import { EPTP } from './ept-entry.ts';
import { FieldTable } from './field-table.ts';
import { GuestPhysical } from './guest-physical.ts';
import { intercept } from './intercepts.ts';

import type { EventPorts, NmiOutcome, VmxRunHooks } from './hooks.ts';
import { VmxRecording } from './recording.ts';
import { pauseExits } from './pause-loop.ts';
import { RootOwner } from './root-owner.ts';
import { guestTsc } from './time-stamp-counter.ts';
import { INVEPT_TYPE } from './capability-questions.ts';
import { forgetEpt, forgetVpid, guestKey } from './translations.ts';
import { readVtpr, tprBelowThreshold, writeVtpr } from './tpr-shadow.ts';
import { NO_VMCS, Vmcs, readPhysical32 } from './vmcs.ts';
import { MTF, initialVmxState } from './vmx-state.ts';
import type { VmxState } from './vmx-state.ts';

const EPTP_LOW_BITS = 0xfff;
const { EPT_POINTER } = OFFSET;

/** VT-x of one processor. The parts beside the state are functions over it: entry, exit, intercepts, boundary. */
export class VmxUnit implements VmxHooks, VmxRunHooks {
  readonly cpu: Processor;
  readonly capabilities: VmxCapabilities;
  readonly facts: ProcessorFacts;
  readonly context: EntryContext;
  readonly fields: FieldTable;
  /** IA32_VMX_MISC[5]. */
  readonly exitStoresLma: boolean;
  state: VmxState = initialVmxState();
  /** The current VMCS, while `state.currentVmcs` says there is one. */
  readonly vmcs: Vmcs;
  /** Any other VMCS, looked at for a moment: the shadow VMCS, one that is cleared. */
  readonly shadow: Vmcs;
  /** What is known of VMCSs that are not current. */
  readonly checked = new CheckedVmcss();
  /** The VMCS that VMREAD and VMWRITE reach from non-root operation; -1 when there is none. */
  shadowAddress: PhysicalAddress = -1;
  readonly controls = new ActiveControls();
  readonly exit = new ExitInformation();
  readonly guestPhysical: GuestPhysical;
  /** TypeScript software that owns root mode; without one, software on the machine does. */
  owner: RootOwner | undefined;
  /** The event that VM entry injects is being delivered: the engine counts no instruction for what comes of it. */
  injecting = false;
  /** The next event is the injected one, which is not intercepted itself. */
  exempt = false;
  /** Of the control-register access that was last looked at. */
  controlRegisterQualification = 0;
  /** The rule that the last failed entry broke, for explanations. */
  lastEntryFailure: EntryRule | undefined;
  /** What the next entry's first checks look at. */
  readonly basic = initialBasicState();
  /** RIP of the last VMLAUNCH or VMRESUME in root operation. */
  enteringRip: LinearAddress = 0;
  /** CR3 then. */
  enteringCr3 = 0;
  /** Who is told of entries and exits. */
  recording = new VmxRecording();
  /** Made since power-on, for tests and profiles. */
  entries = 0;
  exits = 0;
  /** The tick of the last IRET that unblocked NMIs, -1 for none. */
  private unblockedAt = -1;

  constructor(cpu: Processor, capabilities: VmxCapabilities) {
    this.cpu = cpu;
    this.capabilities = capabilities;
    this.facts = processorFacts(capabilities, PHYSICAL_ADDRESS_BITS);
    this.fields = new FieldTable(capabilities);
    this.exitStoresLma = extract(MISC.EXIT_STORES_LMA, this.facts.misc) !== 0;
    this.vmcs = new Vmcs(cpu.memory);
    this.shadow = new Vmcs(cpu.memory);
    this.context = {
      facts: this.facts,
      longModeActive: false,
      inSmm: false,
      currentVmcs: 0,
      readPhysical32: (address) => readPhysical32(cpu.memory, address),
    };
    this.guestPhysical = new GuestPhysical(this);
    this.guestPhysical.walker.features = {
      executeOnly: this.hasEpt('EXECUTE_ONLY'),
      page1GByte: this.hasEpt('PAGE_1GB'),
      page2MByte: this.hasEpt('PAGE_2MB'),
    };
    const hooks: EventHooks & TaskSwitchHooks = Object.assign(eventHooks(cpu), {
      interceptEvent: (event: Event, during: Event | undefined) => interceptEvent(this, event, during),
      interceptTaskSwitch: (selector: number, reason: 'jump' | 'call' | 'interrupt' | 'iret') =>
        interceptTaskSwitch(this, selector, reason),
    });
    void hooks;
  }

  get nonRoot(): boolean {
    return this.state.nonRoot;
  }
  private hasEpt(part: keyof typeof EPT_CAP): boolean {
    return extract(EPT_CAP[part], this.facts.eptCapabilities) !== 0;
  }

  /** RESET: outside VMX operation, nothing current. */
  reset(): void {
    this.guestPhysical.walker.mappings.forget(undefined);
    this.state = initialVmxState();
    this.checked.forgetAll();
    this.exit.pending = false;
    this.cpu.mmu.walker.secondLevel = undefined;
    this.cpu.mmu.guestKey = '';
  }

  // --- exits ---------------------------------------------------------------------------------------------------

  /** RIP back at the instruction that is being executed. */
  rewind(instruction: Instruction): void {
    const { cpu } = this;
    cpu.rip = cpu.code64 ? cpu.rip - instruction.length : (cpu.rip - instruction.length) >>> 0;
  }
  /** Makes the exit that `exit` describes, by an instruction that was not executed; `cpu.rip` is behind it. */
  makeInstructionExit(instruction: Instruction): void {
    this.exit.instructionLength = instruction.length;
    this.exit.resumeFlag = 0;
    this.rewind(instruction);
    this.makeExit();
  }
  makeExit(): void {
    this.showShadow();
    this.uncount();
    makeExit(this);
  }
  /** Makes an exit that is not one of an instruction: nothing was counted for it. */
  makeUncountedExit(): void {
    makeExit(this);
  }

  /** The instruction that exits came right after STI, whose shadow had not mattered so far. */
  private showShadow(): void {
    const { cpu } = this;
    if (!this.injecting && cpu.getSigned(STATE.stiTick) === cpu.ticks - 1)
      cpu.words[STATE.interruptibility >> 2] |= BLOCKING.sti;
  }

  /** An owner counts the instructions that it completes itself; those that software completes the engine counts. */
  private uncount(): void {
    if (this.owner !== undefined && !this.injecting) this.cpu.words[STATE.remaining >> 2]++;
  }

  settle(delivery: Delivery): number {
    if (delivery === 'shutdown' && this.nonRoot) tripleFault(this);
    else if (delivery === 'shutdown') this.cpu.words[STATE.activity >> 2] = ACTIVITY.shutdown;
    else if (delivery === 'intercepted') this.finishExit();
    return delivery === 'delivered' ? STATUS.dispatch : STATUS.exit;
  }
  get rdtscpEnabled(): boolean {
    return !this.nonRoot || this.controls.has2(SECONDARY.ENABLE_RDTSCP);
  }
  get exitPending(): boolean {
    return this.exit.pending;
  }
  finishExit(): boolean {
    if (!this.exit.pending) return false;
    const during = eventHooks(this.cpu).deliveringEvent;
    if (during !== undefined) {
      this.exit.delivering(during);
      this.exit.resumeFlag = pushedFlags(this.cpu, during) & RFLAGS.RF;
    }
    if (counted(undefined, during)) {
      this.showShadow();
      this.uncount();
    }
    makeExit(this);
    return true;
  }

  // --- the current VMCS and what is cached -----------------------------------------------------------------------

  /** VMPTRLD of a region in RAM. */
  makeCurrent(address: PhysicalAddress): void {
    const { state, checked } = this;
    if (state.currentVmcs === address) return;
    if (state.currentVmcs !== NO_VMCS) checked.keep(state.currentVmcs, state.dirtyGroups);
    state.currentVmcs = address;
    state.dirtyGroups = checked.take(address);
    this.vmcs.at(address);
    this.recording.loaded(this, address);
  }
  /** VMCLEAR. */
  clear(address: PhysicalAddress): void {
    if (this.cpu.memory.host(address) !== -1) this.shadow.at(address).launchState = LAUNCH_STATE.clear;
    this.checked.forget(address);
    this.recording.cleared(this, address);
    if (this.state.currentVmcs === address) this.state.currentVmcs = NO_VMCS;
  }
  /** INVEPT of a supported type: what is cached of the EPT with this root, or of all. */
  invalidateEpt(type: number, root: PhysicalAddress): void {
    this.guestPhysical.walker.mappings.forget(type === INVEPT_TYPE.allContext ? undefined : root);
    forgetEpt(this.cpu, type, root);
  }
  /** INVVPID of a supported type. */
  invalidateVpid(type: number, vpid: number, linear: LinearAddress): void {
    forgetVpid(this.cpu, type, vpid, linear);
  }

  // --- what depends on the controls ------------------------------------------------------------------------------

  /** TLB tag and second dimension of the guest that is being entered. */
  enterSecondDimension(): void {
    const { controls, guestPhysical, cpu, vmcs } = this;
    const low = controls.ept ? vmcs.low(EPT_POINTER) : 0;
    const root = controls.ept ? addressAt(vmcs, EPT_POINTER) - (low & EPTP_LOW_BITS) : -1;
    const accessedDirty = (low & EPTP.ACCESSED_DIRTY) !== 0;
    guestPhysical.configure(root, accessedDirty);
    cpu.mmu.walker.secondLevel = controls.ept || controls.apicAccessPage !== NO_PAGE ? guestPhysical : undefined;
    cpu.mmu.guestKey = guestKey(controls.vpid, root, accessedDirty, controls.apicAccessPage);
  }

  /** With "monitor trap flag", an exit follows the first instruction. */
  armMonitorTrap(on: boolean): void {
    this.state.monitorTrap = on ? MTF.afterNext : MTF.none;
  }

  /** `ATTENTION.vmx` while something must be looked at before each instruction. */
  attention(): number {
    const { state } = this;
    return boundary.wantsAttention(this) || state.tprBelowThreshold ? ATTENTION.vmx : 0;
  }

  // --- hooks of microcode ------------------------------------------------------------------------------------------

  intercept(_cpu: Processor, instruction: Instruction, exit: InstructionExit, details: InterceptDetails): boolean {
    return intercept(this, instruction, exit, details);
  }
  pauseExits(): boolean {
    return pauseExits(this);
  }
  controlAllowed(_cpu: Processor, register: 0 | 4, value: number): boolean {
    return allowedControl(this, register, value);
  }
  shownControl(_cpu: Processor, register: 0 | 4, value: number): number {
    return shownControl(this.controls, register, value);
  }
  writtenControl(cpu: Processor, register: 0 | 4, value: number): number {
    return writtenControl(this.controls, register, value, register === 0 ? cpu.cr0 : cpu.cr4);
  }
  readTaskPriority(): number | undefined {
    return this.controls.tprShadow ? readVtpr(this) >>> 4 : undefined;
  }
  /** The exit that may follow is a trap: the instruction is done, and the run loop makes it. */
  writeTaskPriority(_cpu: Processor, value: number): boolean {
    if (!this.controls.tprShadow) return false;
    writeVtpr(this, value << 4);
    this.noteTaskPriority();
    return true;
  }
  /** After VTPR changed: an exit is due before the next instruction if it fell below the threshold. */
  noteTaskPriority(): void {
    if (!tprBelowThreshold(this)) return;
    this.state.tprBelowThreshold = true;
    this.cpu.words[STATE.attention >> 2] |= ATTENTION.vmx;
  }
  /** An instruction is going to write VTPR through the APIC-access page: the threshold is compared once it is done. */
  noteTaskPriorityWrite(): void {
    this.state.tprWritten = true;
    this.cpu.words[STATE.attention >> 2] |= ATTENTION.vmx;
  }
  guestTsc(_cpu: Processor, counter: MutableHalves): void {
    guestTsc(this, counter);
  }

  /** IRET: removes blocking by NMI as far as the controls let it. See: SDM 26.3 Changes to Instruction Behavior in VMX Non-Root Operation */
  unblockNmi(): void {
    const { cpu, controls } = this;
    const keeps = this.nonRoot && controls.hasPin(PIN.NMI_EXITING) && !controls.virtualNmis;
    if (keeps || (cpu.words[STATE.interruptibility >> 2] & BLOCKING.nmi) === 0) return;
    cpu.words[STATE.interruptibility >> 2] &= ~BLOCKING.nmi;
    this.unblockedAt = cpu.ticks;
  }
  /** The fetch of the next instruction has the same tick as IRET, and so has that of the handler of a fault in it. */
  iretDone(): void {
    this.unblockedAt = -1;
  }
  /** Whether the instruction that is being given up is an IRET that unblocked NMIs; asked once. */
  takeNmiUnblocked(): boolean {
    const unblocked = this.unblockedAt === this.cpu.ticks;
    this.unblockedAt = -1;
    return unblocked;
  }

  // --- hooks of the run loop -----------------------------------------------------------------------------------------

  get governs(): boolean {
    return this.nonRoot || this.owner !== undefined;
  }
  /** Gives root mode to TypeScript software. */
  own(software: RootSoftware): void {
    this.owner = new RootOwner(this, software);
  }
  get blocksInit(): boolean {
    return this.state.vmxOperation && !this.nonRoot;
  }
  deadline(): number {
    return this.state.preemptionDeadline;
  }
  wakes(events: EventPorts): boolean {
    return boundary.wakes(this, events);
  }
  beforeInstruction(events: EventPorts): boolean {
    return boundary.beforeInstruction(this, events);
  }
  pendDebugException(debugStatus: number): void {
    boundary.pendDebugException(this, debugStatus);
  }
  get waits(): boolean {
    return boundary.waits(this);
  }
  get nmi(): NmiOutcome {
    return boundary.nmiOutcome(this);
  }
}

/** The unit of a processor that has VT-x. */
export function vmxUnitOf(cpu: Processor): VmxUnit | undefined {
  const { vmx } = cpu.environment;
  return vmx instanceof VmxUnit ? vmx : undefined;
}
