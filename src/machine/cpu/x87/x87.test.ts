// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { x87Rows } from '../../../arch/instructions/x87.ts';
import { environmentBytes, packEnvironment, saveBytes, unpackEnvironment } from './images.ts';
import type { EnvironmentFormat, X87Outcome } from './instruction.ts';
import { toBytes } from './instruction.ts';
import { enterMmx, markMmxWritten } from './mmx.ts';
import { FSW } from './registers.ts';
import { x87Instruction } from './table.ts';
import { X87 } from './x87.ts';

const BASE = 0x200;

function fresh(): { x87: X87; state: DataView } {
  const buffer = new ArrayBuffer(0x1000);
  const x87 = new X87(buffer, BASE);
  x87.initialize();
  return { x87, state: new DataView(buffer) };
}

/** `name` is mnemonic and operands, as in the opcode table. */
function run(x87: X87, name: string, memory: Uint8Array = new Uint8Array(), index = 1): X87Outcome {
  const instruction = x87Instruction(name.replace(/ .*/, ''), name.replace(/^\S+ ?/, ''));
  return instruction.run(x87, { memory, index, format: 'protected32' });
}

const double = (value: number): Uint8Array => new Uint8Array(Float64Array.of(value).buffer);
const word = (value: number): Uint8Array => toBytes(BigInt(value), 2);

function popDouble(x87: X87): number {
  const { store } = run(x87, 'FSTP m64fp');
  assert.ok(store);
  return new Float64Array(store.slice().buffer)[0];
}

describe('the table of x87 instructions', () => {
  it('has every row of the opcode table, with memory operands of its size', () => {
    for (const row of x87Rows) {
      const { memory, bytes } = x87Instruction(row.mnemonic, row.operandText);
      const size = /^m(\d+)(fp|int|bcd)$/.exec(row.operandText);
      if (size) assert.equal(bytes * 8, Number(size[1]), row.operandText);
      assert.equal(memory !== 'none', row.operandText.startsWith('m'), row.operandText);
    }
  });

  it('says which instructions wait', () => {
    const NOT_WAITING = /^FN(?!OP)/;
    for (const row of x87Rows)
      assert.equal(x87Instruction(row.mnemonic, row.operandText).waits, !NOT_WAITING.test(row.mnemonic), row.mnemonic);
  });
});

describe('a program', () => {
  it('computes sqrt(3^2 + 4^2) and pi', () => {
    const { x87 } = fresh();
    for (const value of [3, 4]) {
      run(x87, 'FLD m64fp', double(value));
      run(x87, 'FMUL ST0 STi', undefined, 0);
    }
    run(x87, 'FADDP STi ST0');
    run(x87, 'FSQRT');
    assert.equal(popDouble(x87), 5);
    run(x87, 'FLD1');
    run(x87, 'FLD1');
    run(x87, 'FPATAN');
    assert.equal(popDouble(x87) * 4, Math.PI);
    assert.equal(x87.ftw, 0);
  });

  it('converts to BCD and back', () => {
    const { x87 } = fresh();
    run(x87, 'FILD m64int', toBytes(-123456789012345678n, 8));
    const { store } = run(x87, 'FBSTP m80bcd');
    assert.ok(store);
    assert.equal(Buffer.from(store).reverse().toString('hex'), '80123456789012345678');
    run(x87, 'FBLD m80bcd', store);
    assert.deepEqual(run(x87, 'FISTP m64int').store, toBytes(-123456789012345678n, 8));
  });

  it('reduces an argument with FPREM in steps until C2 is clear', () => {
    const { x87 } = fresh();
    run(x87, 'FLD m64fp', double(3));
    run(x87, 'FLD m64fp', double(2 ** 200));
    let steps = 0;
    do {
      run(x87, 'FPREM');
      steps++;
    } while ((x87.fsw & FSW.c2) !== 0);
    assert.ok(steps > 2 && steps < 8);
    assert.equal(popDouble(x87), 1);
  });
});

describe('exceptions', () => {
  it('become pending when unmasked, and go with FNCLEX', () => {
    const { x87 } = fresh();
    run(x87, 'FLDCW m2byte', word(0x37b));
    run(x87, 'FLD1');
    run(x87, 'FLDZ');
    assert.equal(x87.pendingException(), false);
    run(x87, 'FDIVP STi ST0');
    assert.equal(x87.pendingException(), true);
    // The operands are still there for the handler.
    assert.equal(x87.ftw, 0b1100_0000);
    run(x87, 'FNCLEX');
    assert.equal(x87.pendingException(), false);
    assert.equal(popDouble(x87), 0);
  });

  it('become pending when FLDCW unmasks a flag that is set', () => {
    const { x87 } = fresh();
    run(x87, 'FLD1');
    run(x87, 'FLDZ');
    run(x87, 'FDIVP STi ST0');
    assert.equal(x87.pendingException(), false);
    run(x87, 'FLDCW m2byte', word(0x340));
    assert.equal(x87.pendingException(), true);
    assert.equal(x87.fsw & (FSW.summary | FSW.busy), FSW.summary | FSW.busy);
    const environment = run(x87, 'FNSTENV m14/28byte').store;
    assert.ok(environment);
    // Stored as it was; then everything is masked.
    assert.equal(environment[4] & FSW.summary, FSW.summary);
    assert.equal(x87.fcw, 0x37f);
    assert.equal(x87.pendingException(), false);
  });

  it('a ninth push is a stack overflow', () => {
    const { x87 } = fresh();
    for (let n = 0; n < 9; n++) run(x87, 'FLD1');
    assert.equal(x87.fsw, 0x3a41);
    assert.equal(x87.bits(0), 0xffff_c000_0000_0000_0000n);
  });
});

describe('images', () => {
  const FORMATS: readonly EnvironmentFormat[] = ['protected32', 'protected16', 'real32', 'real16'];

  function prepared(): { x87: X87; state: DataView } {
    const { x87, state } = fresh();
    run(x87, 'FLDPI');
    run(x87, 'FLDZ');
    x87.recordInstruction(0, 0x000a_bcden, 0x1f7);
    x87.recordData(0, 0x000c_1234n);
    return { x87, state };
  }

  for (const format of FORMATS)
    it(`the environment survives ${format}`, () => {
      const { x87 } = prepared();
      const image = packEnvironment(x87, format);
      assert.equal(image.length, environmentBytes(format));
      const other = fresh().x87;
      unpackEnvironment(other, image, format);
      assert.deepEqual([other.fcw, other.fsw, other.ftw], [x87.fcw, x87.fsw, x87.ftw]);
      const kept = format === 'protected16' ? 0xffffn : 0xffff_ffffn;
      assert.equal(other.pointers.fip, x87.pointers.fip & kept);
      assert.equal(other.pointers.fdp, x87.pointers.fdp & kept);
      assert.equal(other.pointers.fop, format === 'protected16' ? 0 : 0x1f7);
    });

  it('has the layout that a real processor stores', () => {
    const { x87 } = fresh();
    run(x87, 'FLD1');
    run(x87, 'FLDZ');
    x87.recordInstruction(0x33, 0x295b_f3e1n, 0x1ee);
    const hex = Buffer.from(packEnvironment(x87, 'protected32')).toString('hex');
    assert.equal(hex, '7f03ffff0030ffffff1fffffe1f35b293300ee0100000000' + '0000ffff');
  });

  it('FNSAVE and FRSTOR carry everything and initialize between', () => {
    for (const format of FORMATS) {
      const { x87 } = prepared();
      const before = [x87.fsw, x87.ftw, x87.bits(0), x87.bits(1)];
      const { store } = x87Instruction('FNSAVE', 'm94/108byte').run(x87, { format });
      assert.equal(store?.length, saveBytes(format));
      assert.deepEqual([x87.fcw, x87.fsw, x87.ftw], [0x37f, 0, 0]);
      x87Instruction('FRSTOR', 'm94/108byte').run(x87, { format, memory: store ?? new Uint8Array() });
      assert.deepEqual([x87.fsw, x87.ftw, x87.bits(0), x87.bits(1)], before);
    }
  });
});

describe('MMX', () => {
  it('takes over the registers', () => {
    const { x87 } = fresh();
    run(x87, 'FLDPI');
    enterMmx(x87);
    assert.deepEqual([x87.top, x87.ftw], [0, 0xff]);
    markMmxWritten(x87, 7);
    assert.equal(x87.physical(7), 0xffff_c90f_daa2_2168_c235n);
  });
});
