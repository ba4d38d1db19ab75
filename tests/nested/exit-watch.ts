// SPDX-License-Identifier: Apache-2.0
// Recorders that stand where L1 gets an exit of L2. The machine and L0 call a recorder anyway: being watched costs a run
// nothing but the time, and without a watch there is nothing.
import { ENTRY_FAILURE_BIT, EXIT_REASON } from '../../src/arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../src/arch/vmx/fields.ts';
import { assert } from '../../src/base/assert.ts';
import type { Recorder } from '../../src/trace/recorder.ts';
import type { NestedVcpu } from '../../src/l0/nested/nested-vcpu.ts';
import { NestedVmx } from '../../src/l0/nested/nested-vmx.ts';
import type { L0Pc } from '../../src/system/l0-pc.ts';
import type { Pc } from '../../src/system/pc.ts';
import { ComparedExits, RecordedExits, report } from './exit-sequence.ts';
import type { Difference } from './exit-sequence.ts';
import { UnderL0, sampleBare } from './seen-exit.ts';
import type { Layout } from './seen-exit.ts';

const { VM_EXIT_REASON, GUEST_RIP, GUEST_RFLAGS, HOST_RIP } = OFFSET;
const { VMLAUNCH, VMRESUME } = EXIT_REASON;
const AFTER_EXIT = 2;
/** The one processor on which L1 has a guest. */
const WATCHED = 0;

/** How often each exit reason came; a failed entry counts as its basic reason. */
export type Reasons = Map<number, number>;

function countReason(reasons: Reasons, reason: number): void {
  reasons.set(reason & 0xffff, (reasons.get(reason & 0xffff) ?? 0) + 1);
}

/** L1 owns the machine: every exit is recorded. */
export class BareWatch implements Recorder {
  readonly tracing = false;
  readonly recorded: RecordedExits;
  readonly reasons: Reasons = new Map();
  event(): void {}
  entry(): void {}
  readonly #layout: Layout;
  readonly #sample: Uint32Array;
  #pc: Pc | undefined;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#sample = new Uint32Array(layout.words);
    this.recorded = new RecordedExits(layout);
  }

  /** Before the run. */
  attach(pc: Pc): void {
    this.#pc = pc;
  }

  exit(_level: number, processor: number, reason: number): void {
    const unit = this.#pc?.machine.processors[processor].vmx;
    assert(unit, 'the watch is attached to a machine with VT-x');
    countReason(this.reasons, reason);
    sampleBare(this.#layout, unit, this.#sample);
    this.recorded.add(this.#sample);
  }
}

/** The first exit in which L1 finds something else under L0 than on the machine itself: it ends the run. */
export class ExitDiffers extends Error {
  /** The values in which it differs; none if it should not be there. */
  readonly found: readonly Difference[];

  constructor(message: string, found: readonly Difference[] = []) {
    super(message);
    this.found = found;
  }
}

/** L0 owns the machine: what L1 gets is compared, and `ExitDiffers` thrown at the first difference. */
export class NestedWatch implements Recorder {
  readonly tracing = false;
  event(): void {}
  readonly compared: ComparedExits;
  protected readonly layout: Layout;
  readonly #recorded: RecordedExits;
  readonly #sample: Uint32Array;
  #nested: NestedVcpu | undefined;
  #seen: UnderL0 | undefined;
  #levelOfExit = 0;
  #reasonOfExit = 0;

  constructor(layout: Layout, recorded: RecordedExits) {
    this.layout = layout;
    this.#recorded = recorded;
    this.#sample = new Uint32Array(layout.words);
    this.compared = new ComparedExits(layout, recorded);
  }

  /** Before the run. */
  attach({ l0, machine }: L0Pc): void {
    const { nested } = l0.l1;
    assert(nested instanceof NestedVmx, 'L1 has VMX');
    this.#nested = nested.of(l0.vcpus[0]);
    this.#seen = new UnderL0(this.layout, this.#nested, machine.processors[0].cpu);
  }

  /** Both runs have ended: all that was recorded must have come. */
  finish(): void {
    const { compared } = this;
    if (compared.count !== this.#recorded.count)
      throw new ExitDiffers(`${compared.count} exits under L0, ${this.#recorded.count} bare\n${compared.context()}`);
  }

  exit(level: number, processor: number, reason: number): void {
    if (processor !== WATCHED) return;
    this.#levelOfExit = level;
    this.#reasonOfExit = reason;
  }

  entry(level: number, processor: number): void {
    if (processor !== WATCHED) return;
    assert(this.#seen && this.#nested, 'the watch is attached to L0');
    if (level !== 1 || !this.#isExitOfL2(this.#nested)) return;
    this.#levelOfExit = 1;
    this.#reasonOfExit = -1;
    if (!this.compared.advance())
      throw new ExitDiffers(`an exit under L0 after the last one bare\n${this.compared.context()}`);
    const found = this.look(this.#seen);
    if (found.length > 0) throw new ExitDiffers(report(found, this.compared.context()), found);
  }

  /** What L1 finds now, compared with the exit that is due. */
  protected look(seen: UnderL0): readonly Difference[] {
    seen.sample(this.#sample);
    return this.compared.differences(this.#sample);
  }

  /** L2 has left, or was not entered for a reason that is an exit: then L1 goes on at its host RIP, with RFLAGS reset. */
  #isExitOfL2({ vcpu, vmcs12 }: NestedVcpu): boolean {
    if (this.#levelOfExit === 2) return true;
    if (this.#reasonOfExit !== VMLAUNCH && this.#reasonOfExit !== VMRESUME) return false;
    const { processor } = vcpu;
    return (
      processor.readLow(GUEST_RFLAGS) === AFTER_EXIT &&
      processor.readLow(GUEST_RIP) === vmcs12.low(HOST_RIP) &&
      vmcs12.low(VM_EXIT_REASON) >= ENTRY_FAILURE_BIT
    );
  }
}
