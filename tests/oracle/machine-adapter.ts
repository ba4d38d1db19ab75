// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../src/base/assert.ts';
import { Machine } from '../../src/machine/machine.ts';
import { CS, DS, ES, FS, GS, SEGMENT, SS, STATE, segmentOffset } from '../../src/machine/cpu/state.ts';
import type { MachineUnderTest, Registers } from './qemu-lockstep.ts';

const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15']; // prettier-ignore
const SEGMENTS: readonly [string, number][] = [['cs', CS], ['ss', SS], ['ds', DS], ['es', ES], ['fs', FS], ['gs', GS]]; // prettier-ignore
const CONTROL: readonly [string, number][] = [['cr0', STATE.cr0], ['cr2', STATE.cr2], ['cr3', STATE.cr3], ['cr4', STATE.cr4], ['efer', STATE.efer]]; // prettier-ignore
const BASES: readonly [string, number][] = [
  ['fs_base', segmentOffset(FS) + SEGMENT.base],
  ['gs_base', segmentOffset(GS) + SEGMENT.base],
  ['k_gs_base', STATE.kernelGsBase],
];

const RAM = 16 << 20;
/** Above the little RAM there is: where the hole begins matters to nobody here. */
const HOLE = 0xc0000000;
const LOW_HALF = 0xffffffffn;

/** Our PC without devices, at reset, under a microscope: one tick at a time. */
export class SteppedMachine implements MachineUnderTest {
  readonly machine: Machine;

  constructor() {
    this.machine = new Machine(
      { processors: 1, ramBytes: RAM, hole: HOLE, frequencyHz: 1e9, seed: 1 },
      { acknowledge: () => 0xff },
    );
    this.machine.processors[0].activate();
  }

  private get cpu() {
    return this.machine.processors[0].cpu;
  }

  load(address: number, bytes: Uint8Array): void {
    this.machine.memory.write(address, bytes);
  }

  setRegisters(registers: Registers): void {
    const { cpu } = this;
    const given = (name: string, set: (value: bigint) => void): void => {
      const value = registers.get(name);
      if (value !== undefined) set(value);
    };
    GENERAL.forEach((name, i) => given(name, (value) => cpu.setReg64(i, value)));
    given('rip', (value) => cpu.set64(STATE.rip, value));
    given('eflags', (value) => (cpu.rflags = Number(value)));
    for (const [name, offset] of CONTROL) given(name, (value) => cpu.set64(offset, value));
    for (const [name, segment] of SEGMENTS) {
      given(name, (value) => {
        if (cpu.realMode) cpu.setSegment(segment, Number(value), Number(value) << 4, 0xffff, cpu.accessRights(segment));
      });
    }
    cpu.modeChanged();
    cpu.mmu.pagingChanged();
  }

  getRegisters(): Registers {
    const { cpu } = this;
    const registers = new Map<string, bigint>();
    const wide = cpu.code64;
    GENERAL.forEach((name, i) => registers.set(name, wide ? cpu.reg64(i) : i < 8 ? cpu.reg64(i) & LOW_HALF : 0n));
    registers.set('rip', cpu.get64(STATE.rip));
    registers.set('eflags', BigInt(cpu.rflags));
    for (const [name, segment] of SEGMENTS) registers.set(name, BigInt(cpu.selector(segment)));
    for (const [name, offset] of [...CONTROL, ...BASES]) registers.set(name, cpu.get64(offset));
    registers.set('cr8', BigInt(cpu.environment.localApic.cr8));
    registers.set('mxcsr', BigInt(cpu.get32(STATE.mxcsr)));
    for (let n = 0; n < 16; n++) {
      const at = (STATE.xmm + n * 16) >> 3;
      registers.set(`xmm${n}`, (cpu.quads[at + 1] << 64n) | cpu.quads[at]);
    }
    return registers;
  }

  step(): void {
    const { machine } = this;
    const { kind } = machine.run(machine.ticks + 1);
    assert(kind === 'limit', `the machine steps: ${kind}`);
  }
}
