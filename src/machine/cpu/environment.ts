// SPDX-License-Identifier: Apache-2.0
import type { CpuidModel } from '../../arch/cpuid.ts';
import type { InstructionExit } from '../../arch/instructions/row.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import type { Instruction } from '../../decode/instruction.ts';
import type { LocalApic } from '../../devices/lapic.ts';
import type { EntropySource } from '../../hardware/ports.ts';
import type { MonitorState } from './monitor-state.ts';
import type { MsrState } from './msr-state.ts';
import type { Processor } from './processor.ts';
import type { TimeStampCounterState } from './time-stamp-counter.ts';

/** What an intercepted instruction was about; which fields are there depends on the exit. */
export interface InterceptDetails {
  /** Of a control or debug register, an MSR or a port. */
  readonly number?: number;
  /** The general register of a MOV to or from CR or DR. */
  readonly register?: number;
  /** To the control register, debug register, port; storing for descriptor tables. */
  readonly write?: boolean;
  /** What would be written, or the XCR0 value. */
  readonly value?: bigint;
  /** Linear address of the operand or the page. */
  readonly linear?: number;
  /** Bytes of a port access. */
  readonly bytes?: number;
}

/** Two unsigned halves that a hook may change. */
export interface MutableHalves {
  low: number;
  high: number;
}

/** What VMX changes in the behaviour of other instructions. Absent as long as the processor is not in VMX operation. */
export interface VmxHooks {
  /** False in non-root operation without "enable RDTSCP": RDTSCP and RDPID are undefined. */
  readonly rdtscpEnabled: boolean;
  /** What the present instruction has recorded as a fault is the VM exit of an access: it writes nothing, and comes again. */
  readonly exitPending: boolean;
  /** In VMX non-root operation: whether this instruction exits; if so, the exit has been made. */
  intercept(cpu: Processor, instruction: Instruction, exit: InstructionExit, details: InterceptDetails): boolean;
  /** In non-root operation: whether this PAUSE exits. Asked twice of the same one, it gives the same answer. */
  pauseExits(cpu: Processor): boolean;
  /** In VMX operation, root or not: whether CR0 or CR4 may have this value (unsigned). */
  controlAllowed(cpu: Processor, register: 0 | 4, value: number): boolean;
  /** In non-root operation: what a read of CR0 or CR4 shows of `value`. */
  shownControl(cpu: Processor, register: 0 | 4, value: number): number;
  /** In non-root operation: what a write of CR0 or CR4 that does not exit leaves there: host-owned bits stay. */
  writtenControl(cpu: Processor, register: 0 | 4, value: number): number;
  /** In non-root operation: CR8 with a TPR shadow, else undefined. */
  readTaskPriority(cpu: Processor): number | undefined;
  /** False when there is no TPR shadow. */
  writeTaskPriority(cpu: Processor, value: number): boolean;
  /** IRET: removes blocking by NMI, as far as the controls let it. */
  unblockNmi(): void;
  /** IRET is done: what faults or exits from here on is not it. */
  iretDone(): void;
  /** In non-root operation: TSC offset and multiplier. */
  guestTsc(cpu: Processor, counter: MutableHalves): void;
}

/** The pins by which x87 errors are reported with CR0.NE clear. See: SDM 8.7.2 MS-DOS* Compatibility Sub-mode. */
export interface X87ErrorPins {
  /** Drives FERR#: an unmasked exception waits, and a waiting instruction met it. */
  ferr(asserted: boolean): void;
  /** IGNNE#: such instructions go on regardless. */
  readonly ignne: boolean;
}

/** What a processor is wired to, and the state of it that compiled code never reads. */
export interface ProcessorEnvironment {
  readonly localApic: LocalApic;
  readonly cpuid: CpuidModel;
  readonly msrs: MsrState;
  readonly tsc: TimeStampCounterState;
  readonly monitor: MonitorState;
  readonly random: EntropySource;
  /** The capability MSRs; present when CPUID shows VMX. */
  readonly vmxCapabilities: VmxCapabilities | undefined;
  vmx: VmxHooks | undefined;
  /** Absent: nobody hears FERR#, and an instruction that meets an error waits for some other interrupt. */
  x87Errors?: X87ErrorPins;
}
