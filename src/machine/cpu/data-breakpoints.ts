// SPDX-License-Identifier: Apache-2.0
import { CR4 } from './register-bits.ts';
import type { LinearAddress, Processor } from './processor.ts';
import { STATE } from './state.ts';

/** R/Wn of DR7. See: SDM 18.2.4 Debug Control Register (DR7). */
const CONDITION = { execute: 0, write: 1, port: 2, access: 3 } as const;
/** LENn of DR7, in bytes. */
const LENGTHS = [1, 2, 8, 4] as const;
const ENABLES = 0xff;

/**
 * Data and I/O breakpoints of one processor: which of them the current instruction met. While one is enabled the run
 * loop executes single instructions anyway; it takes what was noted when the instruction is done and raises the trap.
 */
export class DataBreakpoints {
  /** DR6 bits of what the instruction, or the delivery of an event, met so far. */
  hits = 0;
  /** Those of a MOV SS or POP SS, whose traps wait until the next instruction is done. */
  private held = 0;
  private readonly cpu: Processor;

  constructor(cpu: Processor) {
    this.cpu = cpu;
  }

  /** Whether accesses to memory have to be noted, by DR7 as it is now. */
  get watching(): boolean {
    const dr7 = this.cpu.words[STATE.dr7 >> 2];
    if ((dr7 & ENABLES) === 0) return false;
    return [0, 1, 2, 3].some((n) => enabled(dr7, n) && (condition(dr7, n) & CONDITION.write) !== 0);
  }

  /** An access to `size` bytes at a linear address was made, or is certain unless the instruction faults. */
  note(address: LinearAddress, size: number, write: boolean): void {
    this.match(address, size, (kind) => kind === CONDITION.access || (write && kind === CONDITION.write));
  }

  /** The same for I/O ports, which are watched with CR4.DE only. */
  notePort(port: number, size: number): void {
    if ((this.cpu.cr4 & CR4.DE) !== 0) this.match(port, size, (kind) => kind === CONDITION.port);
  }

  /** The instruction casts a MOV SS shadow: its traps wait. */
  hold(): void {
    this.held |= this.hits;
    this.hits = 0;
  }

  /** The instruction in the shadow has faulted. */
  forgetHeld(): void {
    this.held = 0;
  }

  /** What waits in a shadow, for a VM exit that saves it. */
  get waiting(): number {
    return this.held;
  }

  /** All DR6 bits that are due, which are then forgotten. */
  take(): number {
    const due = this.hits | this.held;
    this.clear();
    return due;
  }

  clear(): void {
    this.hits = this.held = 0;
  }

  private match(address: number, size: number, wanted: (kind: number) => boolean): void {
    const dr7 = this.cpu.words[STATE.dr7 >> 2];
    if ((dr7 & ENABLES) === 0) return;
    for (let n = 0; n < 4; n++)
      if (enabled(dr7, n) && wanted(condition(dr7, n)) && this.overlaps(dr7, n, address, size)) this.hits |= 1 << n;
  }

  /** The address in DRn is aligned to the length. See: SDM 18.2.5 Breakpoint Field Recognition. */
  private overlaps(dr7: number, n: number, address: number, size: number): boolean {
    const length = LENGTHS[(dr7 >>> (18 + 4 * n)) & 3];
    const register = STATE.dr0 + 8 * n;
    const first = this.cpu.getSigned(register) - (this.cpu.words[register >> 2] & (length - 1));
    return address < first + length && first < address + size;
  }
}

function enabled(dr7: number, n: number): boolean {
  return ((dr7 >> (2 * n)) & 3) !== 0;
}
function condition(dr7: number, n: number): number {
  return (dr7 >>> (16 + 4 * n)) & 3;
}
