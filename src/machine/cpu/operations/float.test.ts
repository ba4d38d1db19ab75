// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeForm } from '../interpreter/forms.ts';
import { STATE } from '../state.ts';
import {
  CODE,
  DATA,
  DEVICE,
  IMMEDIATES,
  MODRM,
  ORDINARY,
  UNROUNDED,
  WIDTH,
  allForms,
  bus,
  cases,
  compare,
  cpu,
  elements,
  groups,
  helped,
  makePositive,
  memory,
  operandBytes,
  operands,
  putAny,
  putPlain,
  random,
  run,
} from './float-bench.test.ts';
import type { Case } from './float-bench.test.ts';

const RUNS = 10_000;

describe('floating point without microcode is what the exact unit says', () => {
  for (const [name, group] of groups) {
    const width = elements(group[0].mnemonic);
    test(`${name}: ${group.map(({ form }) => form.signature).join(' ')}`, () => {
      // A form with an immediate is one for each of its values.
      const runs = group[0].form.signature.endsWith('i8') ? RUNS / IMMEDIATES : RUNS;
      for (let n = 0; n < runs * 1.5; n++) {
        putAny(width);
        if (n < runs) compare(group, ORDINARY | random(32));
        else if (n % 2 === 0) compare(group, UNROUNDED | random(32));
        else compare(group, n % 4 === 1 ? ORDINARY ^ (1 << random(16)) : random(0x10000));
      }
    });
  }

  test('there are many', () => assert.ok(cases.length > 90, `${cases.length} forms`));
});

describe('ordinary numbers need no microcode', () => {
  for (const [name, group] of groups) {
    test(name, () => {
      putPlain(elements(group[0].mnemonic));
      makePositive();
      compare(group, ORDINARY); // fills the translation buffer
      let asked = 0;
      for (let n = 0; n < 50; n++) {
        putPlain(elements(group[0].mnemonic));
        if (name.startsWith('SQRT')) makePositive();
        asked += compare(group, ORDINARY);
      }
      assert.equal(asked, 0);
    });
  }

  test('nor do results that note nothing, before anything was inexact', () => {
    for (const [name, a, b] of [
      ['ADDSD', 1.5, 1e6],
      ['SUBSD', 3, 2 ** 40],
      ['MULSD', 12345, 678],
      ['DIVSD', 84, 0.5],
      ['SQRTSD', 0, 144],
      ['CVTTSD2SI', 0, -1234],
      ['CVTSD2SS', 0, 0.125],
      ['ROUNDSD 1', 0, -7],
      ['ROUNDSD 9', 0, -7.5],
    ] as const) {
      const group = groups.get(name);
      assert.ok(group, name);
      operands.setFloat64(0, a, true);
      operands.setFloat64(16, b, true);
      compare(group, UNROUNDED);
      assert.equal(compare(group, UNROUNDED), 0, name);
    }
  });

  test('zeros are ordinary', () => {
    for (const name of [
      'ADDSD',
      'SUBSD',
      'MULSD',
      'ADDPD',
      'SUBPD',
      'MULPD',
      'ADDSS',
      'MULPS',
      'COMISD',
      'SQRTSD',
      'CMPPD 1',
    ]) {
      const group = groups.get(name);
      assert.ok(group);
      operandBytes.fill(0);
      compare(group, ORDINARY);
      assert.equal(compare(group, ORDINARY), 0, name);
      operandBytes[31] = 0x80;
      if (!name.startsWith('SQRT')) assert.equal(compare(group, ORDINARY), 0, name);
    }
  });
});

describe('memory operands', () => {
  const form = (key: string): Case => {
    const found = cases.find((each) => each.form.key === key);
    assert.ok(found, key);
    return found;
  };
  const destination = (): bigint => cpu.view.getBigUint64(STATE.xmm, true);

  test('are read once where a read has an effect', () => {
    putPlain(WIDTH.double);
    bus.reads = 0;
    run(form('ADDSD:x128m64'), ORDINARY, DEVICE);
    assert.equal(cpu.faulted, false);
    assert.equal(bus.reads, 8, 'microcode reads bytes');
    assert.equal(destination(), operands.getBigUint64(0, true));
  });

  test('may cross a page', () => {
    putPlain(WIDTH.double);
    operands.setFloat64(0, 1.5, true);
    memory.write(DATA + 0xffc, new Uint8Array(Float64Array.of(2.25).buffer));
    run(form('ADDSD:x128m64'), ORDINARY, DATA + 0xffc);
    assert.equal(cpu.view.getFloat64(STATE.xmm, true), 3.75);
  });

  test('may be where an address record says, by the engine or by microcode', () => {
    const addsd = form('ADDSD:x128m64');
    for (const [n, prefixes] of [[0x67], [0x64, 0x67]].entries()) {
      const rip = CODE + 0x3000 + n * 16;
      memory.write(rip, Uint8Array.of(...prefixes, 0xf2, 0x0f, 0x58, MODRM.memory));
      operands.setFloat64(0, 1.5, true);
      operands.setFloat64(16, 2.25, true);
      run({ ...addsd, rip }, ORDINARY, 2 ** 32 + DATA);
      const before = helped;
      run({ ...addsd, rip }, ORDINARY, 2 ** 32 + DATA);
      assert.equal(cpu.view.getFloat64(STATE.xmm, true), 3.75);
      assert.equal(helped, before);
      operands.setFloat64(16, NaN, true);
      run({ ...addsd, rip }, ORDINARY, 2 ** 32 + DATA);
      assert.equal(cpu.view.getFloat64(STATE.xmm, true), NaN);
      assert.equal(helped, before + 1);
    }
  });

  test('fault before anything has changed', () => {
    putPlain(WIDTH.double);
    for (const [key, address, vector] of [
      ['ADDSD:x128m64', 0x800000, 14],
      ['ADDPD:x128m128', DATA + 8, 13],
      ['MULPS:x128m128', 0x800000, 14],
      ['CVTDQ2PS:x128m128', DATA + 4, 13],
    ] as const) {
      run(form(key), ORDINARY, address);
      assert.equal(cpu.faulted && cpu.faultVector, vector, key);
      assert.equal(destination(), operands.getBigUint64(0, true));
    }
  });
});

test('a form that escapes says so, and no other does', () => {
  for (const form of allForms) assert.equal(describeForm(form).escapes, form.escapes, form.key);
});
