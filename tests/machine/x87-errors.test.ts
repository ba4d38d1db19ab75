// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CR0 } from '../../src/machine/cpu/processor.ts';
import { STATE } from '../../src/machine/cpu/state.ts';
import { AT, Bench } from './bench.ts';

const RBX = 3;
const RDI = 7;
const IRQ13_VECTOR = 0x2d;
const FAULT_HANDLER = 0x11000;
const INTERRUPT_HANDLER = 0x11100;
const CONTROL_WORD = 0x20000;

/** 1 / 0 with the exception unmasked, then a waiting instruction. */
const DIVIDE = `
  db e3                    ; fninit
  d9 2c 25 00 00 02 00     ; fldcw [20000h]
  d9 e8                    ; fld1
  d8 34 25 08 00 02 00     ; fdiv dword [20008h]: zero
  ff c7                    ; inc edi
  d9 e8                    ; fld1: waits
  ff c7                    ; inc edi
  f4`;
/** INC EBX, end of interrupt at both PICs, OUT F0h. */
const TAKE_BACK = 'ff c3 b0 20 e6 a0 e6 20 e6 f0';
const NO_CLEAR = `${TAKE_BACK} 48 cf ; iretq`;
const CLEAR = `${TAKE_BACK} db e2 48 cf ; fnclex; iretq`;

class Errors extends Bench {
  constructor(handler: string, cr0: number) {
    super({
      code: { [AT.code]: `fb ; sti ${DIVIDE}`, [FAULT_HANDLER]: 'ff c3 f4', [INTERRUPT_HANDLER]: handler },
      handlers: { 16: FAULT_HANDLER, [IRQ13_VECTOR]: INTERRUPT_HANDLER },
    });
    this.poke64(CONTROL_WORD, 0x37bn);
    this.cpu.set32(STATE.cr0, cr0);
    this.cpu.modeChanged();
    const { bus } = this.pc.machine;
    for (const [port, values] of [
      [0x20, [0x11]],
      [0x21, [0x20, 4, 1, 0xfb]],
      [0xa0, [0x11]],
      [0xa1, [0x28, 2, 1, 0xdf]],
    ] as const)
      // prettier-ignore
      for (const value of values) bus.writePort(port, 1, value);
    this.unit.localApic.writeMemory(0xf0, 4, 0x1ff);
    this.unit.localApic.writeMemory(0x350, 4, 0x700);
  }

  /** How often a handler ran, how many steps the program made, and FERR# and IGNNE# in the end. */
  outcome(): number[] {
    assert.equal(this.run(10_000), 'idle');
    const { ferr, ignne } = this.pc.devices.coprocessorError.state;
    return [this.cpu.reg32(RBX), this.cpu.reg32(RDI), ferr, ignne];
  }
}

const WITHOUT_NE = (CR0.PE | CR0.ET | CR0.WP | CR0.PG) >>> 0;

describe('an unmasked x87 exception', () => {
  test('with CR0.NE the waiting instruction raises #MF', () => {
    assert.deepEqual(new Errors(CLEAR, WITHOUT_NE | CR0.NE).outcome(), [1, 1, 0, 0]);
  });

  test('without, it signals FERR#: IRQ 13; once cleared it is done', () => {
    assert.deepEqual(new Errors(CLEAR, WITHOUT_NE).outcome(), [1, 2, 0, 0]);
  });

  test('a write to port F0h lets it go on with the exception pending', () => {
    assert.deepEqual(new Errors(NO_CLEAR, WITHOUT_NE).outcome(), [1, 2, 1, 1]);
  });

  test('with interrupts disabled it waits', () => {
    const bench = new Errors(CLEAR, WITHOUT_NE);
    bench.cpu.rip = AT.code + 1;
    assert.deepEqual(bench.outcome(), [0, 1, 1, 0]);
  });
});
