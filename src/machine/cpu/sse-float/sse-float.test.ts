// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sse4Rows } from '../../../arch/instructions/sse4.ts';
import { sseRows } from '../../../arch/instructions/sse.ts';
import { approximateReciprocal, approximateReciprocalRoot } from './approximate.ts';
import { MXCSR } from './mxcsr.ts';
import { executeSseFloat, isSseFloat, sseFloatInstruction } from './table.ts';
import { SseFloatUnit } from './unit.ts';

const ORDINARY = MXCSR.reset | MXCSR.inexact;

function doubles(...values: number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(values).buffer);
}

function readDoubles(bytes: Uint8Array): number[] {
  return Array.from(new Float64Array(bytes.slice().buffer));
}

const toBits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0];
const fromBits = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0];

describe('the table of floating-point SSE instructions', () => {
  const FLOAT = /^(ADD|SUB|MUL|DIV|SQRT|MIN|MAX|CMP|U?COMI|CVT|R?SQRT|RCP|ROUND|DP|HADD|HSUB|ADDSUB)(.*)[PS][SD]$|^CVT/;

  it('has every one of the opcode table', () => {
    const wanted = [...sseRows, ...sse4Rows].map((row) => row.mnemonic).filter((mnemonic) => FLOAT.test(mnemonic));
    assert.ok(wanted.length > 60);
    assert.deepEqual(
      wanted.filter((mnemonic) => !isSseFloat(mnemonic)),
      [],
    );
  });

  it('has the forms with 64-bit registers', () => {
    assert.equal(sseFloatInstruction('CVTSI2SD', true).sourceBytes, 8);
    assert.equal(sseFloatInstruction('CVTSI2SD').sourceBytes, 4);
    assert.equal(sseFloatInstruction('ADDPS', true), sseFloatInstruction('ADDPS'));
  });
});

describe('execution', () => {
  it('computes and keeps the upper half of a scalar destination', () => {
    const { result, fault, mxcsr } = executeSseFloat(
      sseFloatInstruction('ADDSD'),
      doubles(1.5, 7),
      doubles(2.25),
      0,
      MXCSR.reset,
    );
    assert.deepEqual(readDoubles(result), [3.75, 7]);
    assert.equal(fault, false);
    assert.equal(mxcsr, MXCSR.reset);
  });

  it('leaves the destination alone when an exception is unmasked, and sets the flag', () => {
    const unmaskedZeroDivide = MXCSR.reset & ~0x200;
    const outcome = executeSseFloat(sseFloatInstruction('DIVPD'), doubles(1, 1), doubles(2, 0), 0, unmaskedZeroDivide);
    assert.equal(outcome.fault, true);
    assert.deepEqual(readDoubles(outcome.result), [1, 1]);
    assert.equal(outcome.mxcsr, unmaskedZeroDivide | 4);
  });

  it('works where source and destination are the same register', () => {
    const buffer = new ArrayBuffer(16);
    const unit = new SseFloatUnit(buffer);
    unit.f64.set([3, 5]);
    assert.equal(unit.execute(sseFloatInstruction('HADDPD'), 0, 0, 0, MXCSR.reset), false);
    assert.deepEqual(Array.from(unit.f64), [8, 8]);
  });

  it('writes a 32-bit general register with zeroes above', () => {
    const { result } = executeSseFloat(
      sseFloatInstruction('CVTTSD2SI'),
      new Uint8Array(16).fill(255),
      doubles(-1.5),
      0,
      ORDINARY,
    );
    assert.equal(new DataView(result.buffer).getBigUint64(0, true), 0xffff_ffffn);
  });
});

describe('the fast path', () => {
  const element = fc.oneof(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.array(fc.double(), { minLength: 2, maxLength: 2 }).map((d) => doubles(...d)), fc.array(fc.float(), { minLength: 4, maxLength: 4 }).map((f) => new Uint8Array(Float32Array.from(f).buffer))); // prettier-ignore
  const integers = fc.bigInt({ min: -(2n ** 54n), max: 2n ** 54n }).map((value) => new Uint8Array(BigInt64Array.of(value, -value).buffer)); // prettier-ignore
  const operand = fc.oneof(element, integers);
  const forms = (name: string): string[] => ['PS', 'PD', 'SS', 'SD'].map((suffix) => name + suffix);
  const rows = [
    ...['ADD', 'SUB', 'MUL', 'DIV', 'SQRT', 'MIN', 'MAX', 'CMP', 'ROUND'].flatMap(forms),
    ...['COMISS', 'COMISD', 'UCOMISS', 'UCOMISD', 'CVTSS2SD', 'CVTSD2SS', 'CVTDQ2PS', 'CVTDQ2PD'],
    ...['CVTSI2SS', 'CVTSI2SD', 'CVTTSS2SI', 'CVTTSD2SI'],
  ];

  it('agrees with the exact path', () => {
    for (const instruction of rows.flatMap((name) => [sseFloatInstruction(name), sseFloatInstruction(name, true)])) {
      const { fast: _fast, ...exact } = instruction;
      const property = fc.property(
        operand,
        operand,
        fc.integer({ min: 0, max: 15 }),
        fc.boolean(),
        (a, b, immediate, ordinary) => {
          const mxcsr = ordinary ? ORDINARY : MXCSR.reset;
          const quick = executeSseFloat(instruction, a, b, immediate, mxcsr);
          assert.deepEqual(quick, executeSseFloat(exact, a, b, immediate, mxcsr), instruction.mnemonic);
        },
      );
      fc.assert(property, { numRuns: 120 });
    }
  });
});

describe('RCPPS and RSQRTPS', () => {
  const LIMIT = 1.5 * 2 ** -12;
  const normal = fc.integer({ min: 0x0080_0000, max: 0x7f7f_ffff });

  it('keep within the relative error that the manual promises', () => {
    fc.assert(
      fc.property(normal, (bits) => {
        const value = fromBits(bits);
        const root = fromBits(approximateReciprocalRoot(bits));
        assert.ok(Math.abs(root * Math.sqrt(value) - 1) <= LIMIT);
        const reciprocal = fromBits(approximateReciprocal(bits));
        if (1 / value < 2 ** -126) assert.ok(reciprocal === 0 || reciprocal === 2 ** -126);
        else assert.ok(Math.abs(reciprocal * value - 1) <= LIMIT);
      }),
    );
  });

  it('answer as the manual says for what is not normal', () => {
    assert.equal(approximateReciprocal(0x8000_0000), 0xff80_0000);
    assert.equal(approximateReciprocal(0x0000_0001), 0x7f80_0000);
    assert.equal(approximateReciprocal(toBits(-Infinity)), 0x8000_0000);
    assert.equal(approximateReciprocal(0x7f80_0001), 0x7fc0_0001);
    assert.equal(approximateReciprocalRoot(toBits(-1)), 0xffc0_0000);
    assert.equal(approximateReciprocalRoot(0x8000_0001), 0xff80_0000);
    assert.equal(approximateReciprocalRoot(toBits(Infinity)), 0);
  });
});
