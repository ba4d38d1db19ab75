// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.ts';
import { FEATURES, featureOfOption } from './cpuid-features.ts';
import { CpuidModel, PROCESSOR_SIGNATURE, editsWithoutEffect } from './cpuid.ts';
import type { CpuidDescription, CpuidState } from './cpuid.ts';
import { opcodeTable } from './instructions/table.ts';

const STATE: CpuidState = { apicId: 0, apicEnabled: true, osxsave: false, monitorEnabled: true, code64: true };
const model = (options: Partial<CpuidDescription> = {}): CpuidModel =>
  new CpuidModel({ frequencyHz: 1e9, crystalHz: 1e9, processors: 1, physicalAddressBits: 39, ...options });
const bit = (value: number, n: number): number => (value >>> n) & 1;

test('every feature that an opcode row names is a row here, and the base CPU has all but SMX', () => {
  const base = model().features;
  const names = new Set(opcodeTable.flatMap((row) => row.feature ?? []));
  assert.deepEqual(
    [...names].filter((name) => !FEATURES.some((row) => row.name === name)),
    [],
  );
  assert.deepEqual(
    [...names].filter((name) => !base.has(name)),
    ['SMX'],
  );
});

test('no two features share a name, an option or a bit', () => {
  const unique = (keys: readonly string[]): number => new Set(keys).size;
  assert.equal(unique(FEATURES.map((row) => row.name)), FEATURES.length);
  assert.equal(unique(FEATURES.map((row) => row.option)), FEATURES.length);
  assert.equal(unique(FEATURES.map((row) => `${row.leaf}.${row.subleaf}.${row.register}.${row.bit}`)), FEATURES.length);
});

test('leaf 0 names the vendor, leaf 1 the model that Linux knows', () => {
  const { eax, ebx, ecx, edx } = model().leaf(0, 0, STATE);
  const bytes = new Uint8Array(Uint32Array.of(ebx, edx, ecx).buffer);
  assert.equal(String.fromCharCode(...bytes), 'GenuineIntel');
  assert.equal(eax, 0x1f);
  const version = model().leaf(1, 0, STATE);
  assert.equal(version.eax, PROCESSOR_SIGNATURE);
  // Family 6, model 8FH.
  assert.deepEqual([(version.eax >> 8) & 15, ((version.eax >> 12) & 0xf0) | ((version.eax >> 4) & 15)], [6, 0x8f]);
});

test('no hypervisor bit, no AVX, no MPX, no 5-level paging, no TSX', () => {
  const one = model().leaf(1, 0, STATE);
  const seven = model().leaf(7, 0, STATE);
  assert.deepEqual(
    [bit(one.ecx, 31), bit(one.ecx, 28), bit(seven.ebx, 5), bit(seven.ecx, 16), bit(seven.ebx, 11), bit(seven.ebx, 4)],
    [0, 0, 0, 0, 0, 0],
  );
});

test('what depends on the state of the processor', () => {
  const one = (state: Partial<CpuidState>) => model().leaf(1, 0, { ...STATE, ...state });
  assert.deepEqual([bit(one({}).ecx, 27), bit(one({ osxsave: true }).ecx, 27)], [0, 1]);
  assert.deepEqual([bit(one({}).edx, 9), bit(one({ apicEnabled: false }).edx, 9)], [1, 0]);
  assert.deepEqual([bit(one({}).ecx, 3), bit(one({ monitorEnabled: false }).ecx, 3)], [1, 0]);
  assert.equal(one({ apicId: 5 }).ebx >>> 24, 5);
  const extended = (code64: boolean) => model().leaf(0x80000001, 0, { ...STATE, code64 });
  assert.deepEqual([bit(extended(true).edx, 11), bit(extended(false).edx, 11)], [1, 0]);
});

test('the TSC follows from the crystal that the APIC timer counts', () => {
  for (const frequencyHz of [1e9, 2.5e9, 2.4e9, 999e6]) {
    const { eax, ebx, ecx } = model({ frequencyHz }).leaf(0x15, 0, STATE);
    assert.equal((ecx * ebx) / eax, frequencyHz);
    // Linux multiplies kHz by EBX in 32 bits.
    assert.ok((ecx / 1000) * ebx < 2 ** 32, `${frequencyHz}`);
    assert.equal(model({ frequencyHz }).leaf(0x16, 0, STATE).eax, frequencyHz / 1e6);
  }
});

test('four caches, then none', () => {
  const kib = [0, 1, 2, 3].map((n) => {
    const { ebx, ecx } = model().leaf(4, n, STATE);
    return (((ebx >>> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1)) / 1024;
  });
  assert.deepEqual(kib, [48, 32, 2048, 30720]);
  assert.equal(model().leaf(4, 4, STATE).eax, 0);
});

test('topology: one thread in a core, as many cores as processors', () => {
  const four = model({ processors: 4 });
  const state = { ...STATE, apicId: 3 };
  for (const leaf of [0x0b, 0x1f]) {
    assert.deepEqual(four.leaf(leaf, 0, state), { eax: 0, ebx: 1, ecx: 0x100, edx: 3 });
    assert.deepEqual(four.leaf(leaf, 1, state), { eax: 2, ebx: 4, ecx: 0x201, edx: 3 });
    assert.deepEqual(four.leaf(leaf, 2, state), { eax: 0, ebx: 0, ecx: 2, edx: 3 });
  }
  assert.equal(model({ processors: 3 }).leaf(0x0b, 1, STATE).eax, 2);
  assert.equal(bit(model().leaf(1, 0, STATE).edx, 28), 0);
  assert.equal(bit(four.leaf(1, 0, STATE).edx, 28), 1);
});

test('XSAVE: x87 and SSE in 576 bytes, all four instructions', () => {
  assert.deepEqual(model().leaf(0xd, 0, STATE), { eax: 3, ebx: 576, ecx: 576, edx: 0 });
  assert.deepEqual(model().leaf(0xd, 1, STATE), { eax: 15, ebx: 576, ecx: 0, edx: 0 });
  assert.equal(model({ edits: ['-xsave'] }).leaf(0xd, 0, STATE).eax, 0);
  assert.equal(model({ edits: ['-xsaves'] }).leaf(0xd, 1, STATE).ebx, 576, "the compacted size is also XSAVEC's");
  assert.equal(model({ edits: ['-xsaves', '-xsavec'] }).leaf(0xd, 1, STATE).ebx, 0);
});

test('extended leaves: brand, invariant TSC, address sizes', () => {
  const words = [2, 3, 4].flatMap((n) => {
    const { eax, ebx, ecx, edx } = model().leaf(0x80000000 + n, 0, STATE);
    return [eax, ebx, ecx, edx];
  });
  const brand = String.fromCharCode(...new Uint8Array(Uint32Array.from(words).buffer));
  assert.match(brand, /^Turtles x86-64 processor @ 1\.00GHz\0+$/);
  assert.equal(model().leaf(0x80000007, 0, STATE).edx, 0x100);
  assert.equal(model().leaf(0x80000008, 0, STATE).eax, 39 | (48 << 8));
});

test('beyond the largest leaf: the data of the largest basic one', () => {
  assert.deepEqual(model().leaf(0x40000000, 0, STATE), model().leaf(0x1f, 0, STATE));
  assert.deepEqual(model().leaf(0x80000009, 1, STATE), model().leaf(0x1f, 1, STATE));
});

test('registers are unsigned', () => {
  for (const leaf of [...Array(0x20).keys(), ...Array.from({ length: 9 }, (_, n) => 0x80000000 + n)]) {
    for (const value of Object.values(model({ processors: 8 }).leaf(leaf, 0, { ...STATE, apicId: 255 }))) {
      assert.ok(value >= 0 && value < 2 ** 32 && Number.isInteger(value), `${leaf.toString(16)} ${value}`);
    }
  }
});

test('edits: names as QEMU spells them', () => {
  const edited = model({ edits: ['-smap', '+hypervisor', 'umip=off', '-tsc_deadline', '-sse4_2'] });
  assert.deepEqual(
    ['SMAP', 'HYPERVISOR', 'UMIP', 'TSC_DEADLINE', 'SSE4_2'].map((name) => edited.features.has(name)),
    [false, true, false, false, false],
  );
  assert.equal(bit(edited.leaf(7, 0, STATE).ebx, 20), 0);
  assert.equal(bit(edited.leaf(1, 0, STATE).ecx, 31), 1);
  assert.equal(featureOfOption('xd')?.name, 'NX');
});

test('edits: what cannot be has no effect and is named; what nobody knows is an error', () => {
  const edits = ['+avx2', '-avx512f', '+x2apic'];
  assert.deepEqual(editsWithoutEffect(edits), ['+avx2']);
  assert.equal(model({ edits }).features.has('AVX2'), false);
  assert.throws(
    () => model({ edits: ['+warp'] }),
    (error) => error instanceof UserError && /warp/.test(error.message),
  );
});
