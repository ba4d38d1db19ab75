// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Decoder, DecoderOptions } from 'iced-x86';

import type { Case, CaseInput, Outcome } from './case.ts';
import { compare, describe as describeDifference } from './compare.ts';
import type { CpuUnderTest, UserState } from './cpu-under-test.ts';
import { disassemble } from './disassemble.ts';
import { makeCase } from './make-case.ts';
import { FORMS, selectForms } from './forms.ts';
import { REGIONS, backgroundByte, DATA, READ_ONLY, STACK, UNMAPPED } from './memory-map.ts';
import { runNative, whyNoNative } from './native/native.ts';
import { copyUserState, createUserState } from './records.ts';
import { decodeVectors, encodeVectors, loadVectors, vectorNames } from './vectors.ts';

const RAX = 0;
const RBX = 3;
const RSP = 4;

function input(
  code: number[],
  change: (state: UserState) => void = () => {},
  more: Partial<CaseInput> = {},
): CaseInput {
  const state = createUserState();
  state.rip = 0x10000800n;
  state.general[RSP] = BigInt(STACK + 0x1000);
  change(state);
  const allowance = { rflags: 0, general: 0, fsw: 0, memory: [], errorCode: 0 };
  return { form: 'test', index: 0, code: Uint8Array.from(code), state, memory: [], repeat: false, allowance, ...more };
}

const why = whyNoNative();

describe('the native runner', { skip: why ?? false }, () => {
  const run = (...args: Parameters<typeof input>): Outcome => runNative([input(...args)])[0];

  test('add eax, ebx clears the upper half and sets the flags', () => {
    const { fault, state } = run([0x01, 0xd8], (s) => {
      s.general[RAX] = 0xdead_beef_ffff_ffffn;
      s.general[RBX] = 1n;
    });
    assert.equal(fault, undefined);
    assert.equal(state.general[RAX], 0n);
    assert.equal(state.rip, 0x10000802n);
    assert.equal(state.rflags, 0x202n | 0x55n, 'CF PF AF ZF');
  });

  test('the interrupted state is complete: every register comes back', () => {
    const test = input([0x90], (s) => {
      for (let n = 0; n < 16; n++) s.general[n] = 0x1111_1111_1111_1111n * BigInt(n);
      s.xmm.forEach((_, n, xmm) => (xmm[n] = n));
      s.st.forEach((_, n, st) => (st[n] = n % 16 < 10 ? n : 0));
      Object.assign(s, {
        mxcsr: 0x3fa1,
        fcw: 0x27f,
        fsw: 0x1800,
        ftw: 0x5a,
        fsBase: 0x1234_5678n,
        gsBase: 0x7000_0000_0000n,
        rflags: 0xed7n,
      });
    });
    const [outcome] = runNative([test]);
    assert.deepEqual(outcome.state, { ...test.state, rip: 0x10000801n });
    assert.deepEqual(outcome.writes, []);
  });

  test('memory: patches are seen, changes are reported as runs, and do not reach the next case', () => {
    const at = BigInt(DATA + 0x10);
    const store = input(
      [0x48, 0x89, 0x03],
      (s) => {
        s.general[RAX] = 0x0102030405060708n;
        s.general[RBX] = at;
      },
      { memory: [{ address: at, bytes: new Uint8Array(8) }] },
    );
    const load = input([0x8a, 0x03], (s) => void (s.general[RBX] = at));
    const [stored, loaded] = runNative([store, load]);
    assert.deepEqual(stored.writes, [{ address: at, bytes: Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1) }]);
    assert.equal(Number(loaded.state.general[RAX]), backgroundByte(Number(at)));
  });

  test('faults carry vector, error code and address', () => {
    const at = (address: number) => (s: UserState) => void (s.general[RBX] = BigInt(address));
    const faults = runNative([
      input([0x8a, 0x03], at(UNMAPPED)),
      input([0x88, 0x03], at(READ_ONLY)),
      input([0x66, 0x89, 0x03], at(READ_ONLY - 1)),
      input([0xf6, 0xf3]),
      input([0x0f, 0x0b]),
      input([0xf4]),
      input([0x8a, 0x03], (s) => void (s.general[RBX] = 0x8000_0000_0000n)),
      input([0x50], (s) => void (s.general[RSP] = 0x8000_0000_0100n)),
      input([0x8b, 0x03], (s) => void ((s.general[RBX] = BigInt(DATA + 1)), (s.rflags |= 0x40000n))),
      input([0xcc]),
      input([0x0f, 0x5e, 0xc0], (s) => void (s.mxcsr = 0)),
      input([0x9b], (s) => void ((s.fcw = 0x37e), (s.fsw = 0x8081))),
    ]).map(({ fault }) => fault && [fault.vector, fault.errorCode, Number(fault.address)]);
    // prettier-ignore
    assert.deepEqual(faults, [
      [14, 4, UNMAPPED], [14, 7, READ_ONLY], [14, 7, READ_ONLY], [0, 0, 0], [6, 0, 0], [13, 0, 0], [13, 0, 0], [12, 0, 0], [17, 0, 0], [3, 0, 0],
      [19, 0, 0], [16, 0, 0],
    ]);
  });

  test('REP runs to its end, or to the iteration that faults', () => {
    const stos = (count: bigint, address: number) =>
      run(
        [0xf3, 0xaa],
        (s) => {
          s.general[1] = count;
          s.general[7] = BigInt(address);
        },
        { repeat: true },
      );
    const whole = stos(5n, DATA);
    assert.equal(whole.state.general[1], 0n);
    assert.equal(whole.state.rip, 0x10000802n);
    const part = stos(5n, READ_ONLY - 3);
    assert.deepEqual([part.fault?.vector, part.state.general[1], part.state.rip], [14, 2n, 0x10000800n]);
  });

  test('the committed vectors are what this processor answers', () => {
    const all = loadVectors('branch');
    const cases = [...all];
    runNative(cases).forEach((outcome, n) => assert.deepEqual(outcome, cases[n].expected, `${cases[n].form} #${n}`));
  });
});

function lengthOf(test: CaseInput): number {
  const decoder = new Decoder(64, test.code, DecoderOptions.None);
  const instruction = decoder.decode();
  const { length } = instruction;
  instruction.free();
  decoder.free();
  return length;
}

describe('cases', () => {
  test('names are unique', () => {
    assert.equal(new Set(FORMS.map((form) => form.name)).size, FORMS.length);
  });

  test('the same form, seed and index make the same case', () => {
    for (const form of FORMS.filter((_, n) => n % 37 === 0))
      assert.deepEqual(makeCase(form, 7, 3), makeCase(form, 7, 3));
  });

  test('another seed makes another case', () => {
    const [form] = selectForms(['add']);
    assert.notDeepEqual(makeCase(form, 1, 0).state, makeCase(form, 2, 0).state);
  });

  test('an independent disassembler reads each form as its mnemonic and its whole length', () => {
    const aliases =
      /^(undefined|locked|privileged|sal|xchg|nop|cbw|cwd|set|cmov|j|loop|mov|pause|fi?sub|fi?div|fn|fld|fst|fsave|xlat|bsf|f|cmp|pushf|popf|push|pop|retf|callf|jmpf|iret|xsave|xrstor)/;
    for (const form of FORMS) {
      const test = makeCase(form, 1, 0);
      // Too many prefixes and segment registers that do not exist are among these on purpose.
      if (/^(invalid|prefix|stream)$/.test(form.group) || /^mov 8[CE]/.test(form.name)) continue;
      const text = disassemble(test);
      assert.equal(lengthOf(test), test.code.length, `${form.name}: ${text}`);
      assert.doesNotMatch(text, /bad/, `${form.name}: ${Buffer.from(test.code).toString('hex')}`);
      if (!aliases.test(form.mnemonic)) assert.match(text, new RegExp(`\\b${form.mnemonic}`), form.name);
    }
  });
});

/** A processor that knows the answer. */
function replaying(test: Case): CpuUnderTest & { memory: Map<number, Uint8Array>; answer: Outcome } {
  const memory = new Map(REGIONS.map((region) => [region.start, new Uint8Array(region.length)]));
  let state = createUserState();
  const at = (address: bigint): Uint8Array => {
    const region = REGIONS.find(({ start, length }) => address >= start && address < start + length);
    assert.ok(region, `unmapped ${address.toString(16)}`);
    return (memory.get(region.start) as Uint8Array).subarray(Number(address) - region.start);
  };
  return {
    memory,
    answer: test.expected,
    set: (next) => void (state = copyUserState(next)),
    get: () => state,
    writeMemory: (address, bytes) => at(address).set(bytes),
    readMemory: (address, length) => at(address).slice(0, length),
    run() {
      return this.step();
    },
    step() {
      state = copyUserState(this.answer.state);
      for (const { address, bytes } of this.answer.writes) this.writeMemory(address, bytes);
      return this.answer.fault ? { kind: 'fault', ...this.answer.fault } : { kind: 'ok' };
    },
  };
}

describe('compare', () => {
  const all = [...loadVectors('integer')];
  const writing = all.find((test) => test.expected.writes.length > 0 && !test.expected.fault) as Case;
  const faulting = all.find((test) => test.expected.fault?.vector === 14) as Case;
  const altered = (test: Case, change: (answer: { -readonly [K in keyof Outcome]: Outcome[K] }) => void): string => {
    const cpu = replaying(test);
    cpu.answer = { ...test.expected, state: copyUserState(test.expected.state) };
    change(cpu.answer);
    const difference = compare(test, cpu);
    return difference ? difference.mismatches.map(({ what }) => what).join(', ') : '';
  };

  test('every committed vector agrees with itself', () => {
    for (const test of all.filter((_, n) => n % 101 === 0))
      assert.equal(compare(test, replaying(test)), undefined, test.form);
  });

  test('each part of the result is looked at', () => {
    assert.equal(
      altered(writing, ({ state }) => (state.general[5] ^= 1n)),
      'rbp',
    );
    assert.equal(
      altered(writing, ({ state }) => (state.rip += 1n)),
      'rip',
    );
    assert.equal(
      altered(writing, ({ state }) => (state.rflags ^= 1n)),
      'rflags',
    );
    assert.equal(
      altered(writing, ({ state }) => (state.xmm[17] ^= 1)),
      'xmm1 (little-endian)',
    );
    assert.equal(
      altered(writing, ({ state }) => (state.st[3] ^= 1)),
      'st0 (little-endian)',
    );
    assert.equal(
      altered(writing, ({ state }) => (state.mxcsr ^= 1)),
      'mxcsr',
    );
    assert.equal(
      altered(writing, ({ state }) => (state.fsw ^= 1)),
      'fsw',
    );
    assert.match(
      altered(writing, (answer) => (answer.writes = [])),
      /^memory at 0x/,
    );
    assert.match(
      altered(
        writing,
        (answer) =>
          (answer.writes = [...answer.writes, { address: BigInt(DATA), bytes: Uint8Array.of(~backgroundByte(DATA)) }]),
      ),
      /^memory at/,
    );
    assert.equal(
      altered(faulting, (answer) => (answer.fault = { vector: 13, errorCode: 0, address: 0n })),
      'result',
    );
    assert.equal(
      altered(faulting, (answer) => answer.fault && (answer.fault = { ...answer.fault, errorCode: 0x10 })),
      'error code',
    );
    assert.equal(
      altered(faulting, (answer) => answer.fault && (answer.fault = { ...answer.fault, address: 1n })),
      'fault address',
    );
    assert.equal(
      altered(faulting, (answer) => delete answer.fault),
      'result',
    );
  });

  test('memory is the background again afterwards', () => {
    const cpu = replaying(writing);
    compare(writing, cpu);
    for (const [start, bytes] of cpu.memory)
      bytes.forEach((byte, n) => byte === backgroundByte(start + n) || assert.fail(`${start + n}`));
  });

  test('what is undefined is not compared', () => {
    const form = FORMS.find(({ name }) => name === 'and 20 /r b') as (typeof FORMS)[number];
    const test = all.find((candidate) => candidate.form === form.name && !candidate.expected.fault) as Case;
    assert.equal(
      altered(test, ({ state }) => (state.rflags ^= 0x10n)),
      '',
    );
  });

  test('a difference names the instruction, the state and both values', () => {
    const cpu = replaying(writing);
    cpu.answer = { ...writing.expected, state: { ...writing.expected.state, rip: 0x1234n } };
    const difference = compare(writing, cpu);
    assert.ok(difference);
    const text = describeDifference(difference, disassemble(writing));
    for (const part of [writing.form, 'rax 0x', 'rip: expected 0x1000', 'got 0x1234'])
      assert.ok(text.includes(part), text);
  });
});

describe('vectors', () => {
  test('all files load, with a case for every form', () => {
    const forms = new Set<string>();
    for (const name of vectorNames()) for (const test of loadVectors(name)) forms.add(test.form);
    assert.deepEqual(
      FORMS.filter((form) => !forms.has(form.name)),
      [],
    );
  });

  test('encoding is reversible, and outcomes of changed questions are refused', () => {
    const cases = [...loadVectors('invalid')].filter((test) => test.form === 'undefined 0F 0B');
    const bytes = encodeVectors(1, [{ name: 'undefined 0F 0B', cases }]);
    assert.deepEqual([...decodeVectors(bytes, 'test')], cases);
    bytes[4] ^= 1;
    assert.throws(() => [...decodeVectors(bytes, 'test')], /stale/);
  });
});
