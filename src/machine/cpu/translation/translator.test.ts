// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Machine } from '../../machine.ts';
import { FUSED } from '../operations/fused.ts';
import { HANDLER, RECORD } from '../interpreter/record.ts';
import { CR0 } from '../register-bits.ts';
import { CS, DS, ES, RAX, RCX, RDX, SS, STATE } from '../state.ts';

const CODE = 0x1000;

/** One processor in flat 32-bit protected mode, without paging. */
class Flat {
  readonly machine = new Machine(
    { processors: 1, ramBytes: 1 << 20, hole: 0xc0000000, frequencyHz: 1e9, seed: 1 },
    { acknowledge: () => 0xff },
  );
  readonly translator = this.machine.processors[0].decoding.translator;

  constructor() {
    const { cpu } = this;
    cpu.set32(STATE.cr0, CR0.PE | CR0.ET);
    cpu.setSegment(CS, 8, 0, 0xffffffff, 0xc09b);
    for (const segment of [DS, ES, SS]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093);
    cpu.modeChanged();
    cpu.mmu.pagingChanged();
    this.machine.processors[0].activate();
  }

  get cpu() {
    return this.machine.processors[0].cpu;
  }
  load(address: number, ...bytes: number[]): this {
    this.machine.memory.write(address, Uint8Array.from(bytes));
    return this;
  }
  /** Executes exactly so many instructions from an address, in slices. */
  run(address: number, instructions: number, slice = instructions): this {
    const { machine } = this;
    this.cpu.rip = address;
    const end = machine.ticks + instructions;
    while (machine.ticks < end) assert.equal(machine.run(Math.min(end, machine.ticks + slice)).kind, 'limit');
    return this;
  }
  /** Field of the first record of the block at an address that was translated in the current mode. */
  firstRecord(address: number, field: number): number {
    const { memory } = this.machine;
    const record = this.translator.store.find(memory.host(address), this.cpu.get32(STATE.mode));
    assert.notEqual(record, 0, 'there is a block');
    const compiled = memory.i32[(record + RECORD.handler) >> 2] === HANDLER.region;
    return memory.i32[((compiled ? memory.i32[(record + RECORD.base) >> 2] : record) + field) >> 2];
  }
}

/** Opcodes of CMP and TEST for the first two operands (AL or EAX, CL or ECX, or an immediate). */
function comparison(mnemonic: string, signature: string, immediate: number): number[] {
  const bytes = [immediate & 0xff, (immediate >> 8) & 0xff, (immediate >> 16) & 0xff, immediate >>> 24];
  const compares = mnemonic === 'CMP';
  // prettier-ignore
  switch (signature) {
    case 'r8r8':   return [compares ? 0x38 : 0x84, 0xc8];
    case 'r32r32': return [compares ? 0x39 : 0x85, 0xc8];
    case 'r8i8':   return compares ? [0x80, 0xf8, bytes[0]] : [0xf6, 0xc0, bytes[0]];
    default:       return compares ? [0x81, 0xf8, ...bytes] : [0xf7, 0xc0, ...bytes];
  }
}

const word = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff), fc.nat(0xffffffff));

describe('a comparison and the branch after it, in one record', () => {
  const [whole, stepped] = [new Flat(), new Flat()];

  /** The pair, then INC EDX that the branch skips, then JMP to itself. */
  function program(bytes: readonly number[], condition: number): number[] {
    return [...bytes, 0x70 + condition, 0x01, 0x42, 0xeb, 0xfe];
  }

  for (const { mnemonic, signature, condition } of FUSED.filter((row) => !row.signature.includes('64'))) {
    it(`${mnemonic} ${signature}, condition ${condition}: ends where single steps do, with the same flags and count`, () => {
      fc.assert(
        fc.property(word, word, word, (a, b, immediate) => {
          const pair = comparison(mnemonic, signature, immediate);
          const outcome = ([whole, stepped] as const).map((flat) => {
            flat.load(CODE, ...program(pair, condition));
            flat.cpu.setReg32(RAX, a);
            flat.cpu.setReg32(RCX, b);
            flat.cpu.setReg32(RDX, 0);
            flat.cpu.rflags = 2;
            const before = flat.machine.instructions;
            flat.run(CODE, 5, flat === stepped ? 1 : 5);
            const { cpu, machine } = flat;
            return [cpu.rip, cpu.rflags, cpu.reg32(RDX), machine.instructions - before];
          });
          assert.deepEqual(outcome[0], outcome[1]);
          const length = whole.firstRecord(CODE, RECORD.nextOffset) - whole.firstRecord(CODE, RECORD.ripOffset);
          assert.equal(length, pair.length + 2, 'both are in one record');
          assert.equal(whole.firstRecord(CODE, RECORD.unretired), 2);
        }),
        { numRuns: 5 },
      );
    });
  }

  it('a budget that ends between the two stops there', () => {
    whole.load(CODE, 0x90, ...program([0x39, 0xc8], 4));
    whole.cpu.setReg32(RAX, 5);
    whole.cpu.setReg32(RCX, 5);
    whole.run(CODE, 2);
    assert.equal(whole.cpu.rip, CODE + 3);
    assert.equal(whole.cpu.rflags & 0x40, 0x40);
    whole.run(CODE + 3, 1);
    assert.equal(whole.cpu.rip, CODE + 6, 'taken');
  });

  it('a branch that is jumped to directly asks the flags', () => {
    whole.load(CODE, ...program([0x39, 0xc8], 4));
    whole.run(CODE, 5);
    for (const [flags, next] of [
      [0x42, CODE + 5],
      [0x02, CODE + 4],
    ]) {
      whole.cpu.rflags = flags;
      whole.run(CODE + 2, 1);
      assert.equal(whole.cpu.rip, next);
    }
  });
});

describe('an instruction that crosses a page', () => {
  const AT = 0x1ffd;
  /** MOV EAX, 44332211h with two bytes in the second page; then JMP to it again. */
  const crossing = () => new Flat().load(AT, 0xb8, 0x11, 0x22, 0x33, 0x44, 0xeb, 0xf9);

  it('is executed, alone, and counted once', () => {
    const flat = crossing().run(AT, 1);
    assert.deepEqual([flat.cpu.reg32(RAX), flat.cpu.rip, flat.machine.instructions], [0x44332211, AT + 5, 1]);
    flat.run(AT, 2001);
    assert.deepEqual([flat.cpu.rip, flat.machine.instructions], [AT + 5, 2002]);
  });

  it('is made anew when either part is written', () => {
    const flat = crossing().run(AT, 3);
    flat.load(0x2000, 0x55).run(AT, 1);
    assert.equal(flat.cpu.reg32(RAX), 0x44552211, 'the second page');
    flat.load(AT + 1, 0x66).run(AT, 1);
    assert.equal(flat.cpu.reg32(RAX), 0x44552266, 'the first page');
  });

  it('is made anew behind a block of the first page, too', () => {
    // JMP to the next instruction: what ends a block is linked to what follows.
    const flat = crossing()
      .load(AT - 2, 0xeb, 0x00)
      .run(AT - 2, 7);
    assert.equal(flat.cpu.reg32(RAX), 0x44332211);
    flat.load(0x2000, 0x55).run(AT - 2, 2);
    assert.equal(flat.cpu.reg32(RAX), 0x44552211);
  });
});

describe('a store to translated code', () => {
  /** MOV BYTE [target], 7; NOP; MOV AL, 1; JMP to itself. */
  function patching(target: number): Flat {
    const flat = new Flat();
    flat.load(CODE, 0xc6, 0x05, target & 0xff, target >> 8, 0, 0, 0x07, 0x90, 0xb0, 0x01, 0xeb, 0xfe);
    return flat;
  }

  it('takes effect at the next instruction, in the same block too', () => {
    for (const slice of [1, 3, 1000]) {
      const flat = patching(CODE + 9).run(CODE, 4, slice);
      assert.deepEqual([flat.cpu.reg32(RAX) & 0xff, flat.machine.instructions], [7, 4], `slice ${slice}`);
      assert.equal(flat.cpu.rip, CODE + 10);
    }
  });

  it('drops nothing when it hits bytes of the page that were not read as code', () => {
    const flat = patching(CODE + 0x800).run(CODE, 4);
    assert.equal(flat.translator.store.counts.pagesDropped, 0);
    const { blocks } = flat.translator.store.counts;
    flat.run(CODE, 4);
    assert.equal(flat.translator.store.counts.blocks, blocks, 'nothing is translated again');
    assert.deepEqual([...flat.machine.memory.u8.subarray(flat.machine.memory.host(CODE + 0x800))].slice(0, 1), [7]);
  });

  it('is noticed from outside as well: by DMA', () => {
    const flat = new Flat().load(CODE, 0xb0, 0x01, 0xeb, 0xfe).run(CODE, 2);
    flat.machine.busMaster(0x10).write(CODE + 1, Uint8Array.of(9));
    assert.equal(flat.translator.store.counts.pagesDropped, 1);
    assert.equal(flat.run(CODE, 1).cpu.reg32(RAX) & 0xff, 9);
  });

  it('is noticed by a block that jumps into the changed page', () => {
    const flat = new Flat().load(CODE, 0xe9, 0xfb, 0x0f, 0, 0).load(0x2000, 0xb0, 0x01, 0xe9, 0xf9, 0xef, 0xff, 0xff);
    flat.run(CODE, 9);
    flat.load(0x2001, 0x02).run(CODE, 2);
    assert.equal(flat.cpu.reg32(RAX) & 0xff, 2);
  });
});
