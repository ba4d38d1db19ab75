// SPDX-License-Identifier: Apache-2.0
// The bare machine as another processor would be that keeps to the manual as well. What a program does otherwise there the
// manual leaves open, and L0 may do it otherwise, too.
import { assert } from '../../src/base/assert.ts';
import type { Event } from '../../src/machine/cpu/microcode/exceptions.ts';
import { VECTOR } from '../../src/machine/cpu/microcode/exceptions.ts';
import { eventHooks } from '../../src/machine/cpu/microcode/interrupt-delivery.ts';
import { RFLAGS } from '../../src/machine/cpu/register-bits.ts';
import { STATE } from '../../src/machine/cpu/state.ts';
import type { Vmcs } from '../../src/machine/vtx/vmcs.ts';
import type { VmxUnit } from '../../src/machine/vtx/vmx-unit.ts';
import { forgetTranslations } from './machines.ts';
import type { Side } from './machines.ts';

const REGION_WORDS = 0x1000 / 4;

/** What makes a bare machine such a one. */
export class OtherProcessor {
  private readonly side: Side;
  /** First words of regions whose VMCSs are kept elsewhere by now. */
  private readonly kept = new Set<number>();

  constructor(side: Side) {
    const { vmx } = side.unit;
    assert(vmx, 'VT-x');
    this.side = side;
    const words = new Uint32Array(vmx.vmcs.words.length);
    for (const vmcs of [vmx.vmcs, vmx.shadow]) this.keepElsewhere(vmcs, words);
    pushResumeFlag(vmx);
  }

  /** A program is about to begin. */
  begin(): void {
    this.kept.clear();
  }

  /** An instruction at a time, each with no translation known: a processor may forget any at any time. */
  run(ticks: number): ReturnType<Side['pc']['run']> {
    const { side } = this;
    const { machine } = side.pc;
    for (const end = machine.ticks + ticks; machine.ticks < end;) {
      forgetEverything(side);
      const outcome = side.pc.run(machine.ticks + 1);
      if (outcome !== 'limit') return outcome;
    }
    return 'limit';
  }

  /**
   * In the region of a VMCS lies what a processor likes, so a load from there may give anything: here, what software has
   * written. Revision identifier and shadow indicator are software's. See: SDM 25.2 Format of the VMCS Region
   */
  private keepElsewhere(vmcs: Vmcs, words: Uint32Array): void {
    const inMemory = vmcs.words;
    const at = vmcs.at.bind(vmcs);
    vmcs.words = words;
    vmcs.at = (address) => {
      at(address);
      const { first } = vmcs;
      if (!this.kept.has(first)) words.set(inMemory.subarray(first, first + REGION_WORDS), first);
      this.kept.add(first);
      words[first] = inMemory[first];
      return vmcs;
    };
  }
}

/**
 * An EPT violation saves RFLAGS.RF as 1, whatever it was (SDM 28.3.3 Saving RIP, RSP, RFLAGS, and SSP), so after a miss of
 * EPT02 L0 cannot know it. A double fault pushes RF as it is, and so it is saved where double or triple fault exit.
 */
function pushResumeFlag(vmx: VmxUnit): void {
  const { words } = vmx.cpu;
  const hooks = eventHooks(vmx.cpu);
  const intercept = hooks.interceptEvent;
  hooks.interceptEvent = (event: Event, during: Event | undefined): boolean => {
    const asItIs = event.vector === VECTOR.DF || during !== undefined;
    if (vmx.nonRoot && asItIs) words[STATE.flagsOther >> 2] |= RFLAGS.RF;
    return intercept?.(event, during) === true;
  };
}

function forgetEverything(side: Side): void {
  forgetTranslations(side);
  const { mmu } = side.unit.cpu;
  mmu.buffers.flushAll();
  mmu.contextChanged();
}
