// SPDX-License-Identifier: Apache-2.0
import type { Processor } from '../processor.ts';
import { STATE } from '../state.ts';
import type { Jit } from './jit.ts';

/** A processor's way of telling the JIT where it spends its instructions: now and then a run's budget is cut short. */
export class Sampler {
  /** Instructions until the next sample. */
  left: number;
  private readonly jit: Jit;

  constructor(jit: Jit) {
    this.jit = jit;
    this.left = jit.mode === 'on' || jit.mode === 'soon' ? jit.heat.nextInterval() : Infinity;
  }

  /** After a run with that budget: true when it was cut short for a sample, and is simply to go on. */
  ran(cpu: Processor, budget: number): boolean {
    const { words } = cpu;
    const cut = budget === this.left;
    this.left -= budget - words[STATE.remaining >> 2];
    const sample = words[STATE.sample >> 2];
    if (!cut || sample === 0 || words[STATE.attention >> 2] !== 0) {
      if (this.left <= 0) this.left = this.jit.heat.nextInterval();
      return false;
    }
    this.left = this.jit.heat.nextInterval();
    this.take(cpu, sample);
    return true;
  }

  private take(cpu: Processor, sample: number): void {
    if (sample & 1) return void this.jit.counts.samplesInRegions++;
    const { words, mmu } = cpu;
    this.jit.counts.samples++;
    const rip = STATE.rip >> 2;
    const low = (words[rip] + words[STATE.codeBase >> 2]) | 0;
    const high = words[(STATE.codeMask >> 2) | 1] === 0 ? 0 : words[rip + 1];
    const host = mmu.buffers.findFetch(low, high, words[STATE.fetchContext >> 2]);
    if (host !== -1) this.jit.sampled(host, words[STATE.mode >> 2], sample);
  }
}
