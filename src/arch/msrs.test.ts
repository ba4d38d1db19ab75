// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuidModel } from './cpuid.ts';
import { ARCH_CAPABILITIES, canonicalValue, msrAfterWrite, msrRows } from './msrs.ts';
import type { MsrRow } from './msrs.ts';

function rows(edits: readonly string[] = []): MsrRow[] {
  const { features } = new CpuidModel({
    frequencyHz: 1e9,
    crystalHz: 1e9,
    processors: 1,
    physicalAddressBits: 39,
    edits,
  });
  return msrRows({ features, physicalAddressBits: 39, frequencyHz: 1e9, microcodeRevision: 0x2b000700 });
}
function rowOf(index: number, edits: readonly string[] = []): MsrRow {
  const row = rows(edits).find((candidate) => candidate.index === index);
  assert.ok(row, `MSR ${index.toString(16)}`);
  return row;
}
const write = (index: number, value: bigint, before = 0n): bigint | undefined =>
  msrAfterWrite(rowOf(index), before, value);

test('numbers and names are unique; a reset value may be written back unless the register is read-only', () => {
  const all = rows();
  assert.equal(new Set(all.map((row) => row.index)).size, all.length);
  assert.equal(new Set(all.map((row) => row.name)).size, all.length);
  for (const row of all)
    if (row.writable !== undefined) assert.equal(msrAfterWrite(row, row.reset, row.reset), row.reset, row.name);
});

test('ARCH_CAPABILITIES says that no mitigation with a cost per entry is needed', () => {
  const { reset } = rowOf(0x10a);
  for (const bit of [0n, 1n, 3n, 4n, 5n, 6n, 8n, 13n, 14n, 15n, 20n, 24n, 26n, 27n, 62n])
    assert.equal((reset >> bit) & 1n, 1n, `bit ${bit}`);
  assert.equal(Object.keys(ARCH_CAPABILITIES).length, 15);
  // RSBA, TSX_CTRL, RRSBA
  for (const bit of [2n, 7n, 19n]) assert.equal((reset >> bit) & 1n, 0n);
});

test('registers come and go with their features', () => {
  const indices = (edits: readonly string[]): Set<number> => new Set(rows(edits).map((row) => row.index));
  assert.ok(indices([]).has(0x3a));
  assert.ok(!indices(['-vmx']).has(0x3a));
  assert.ok(!indices(['-mtrr']).has(0x2ff));
  assert.ok(!indices([]).has(0x10b) && indices(['+flush-l1d']).has(0x10b));
  assert.equal(rowOf(0x48).writable, 0x407n);
  assert.equal(rowOf(0x48, ['-ssbd']).writable, 0x403n);
});

test('canonical addresses', () => {
  for (const good of [0n, 0x7fffffffffffn, 0xffff800000000000n, 0xffffffffffffffffn]) assert.ok(canonicalValue(good));
  for (const bad of [0x800000000000n, 0xffff7fffffffffffn, 0x8000000000000000n]) assert.ok(!canonicalValue(bad));
  assert.equal(write(0xc0000082, 0x800000000000n), undefined);
  assert.equal(write(0xc0000102, 0xffff888000000000n), 0xffff888000000000n);
});

test('PAT and MTRR types', () => {
  assert.equal(write(0x277, 0x0407050600070106n), 0x0407050600070106n);
  assert.equal(write(0x277, 0x02n), undefined);
  assert.equal(write(0x277, 0x03n << 56n), undefined);
  assert.equal(write(0x250, 0x0606060606060606n), 0x0606060606060606n);
  assert.equal(write(0x250, 0x07n), undefined);
  assert.equal(write(0x200, 0x80000000n | 0x02n), undefined);
  assert.equal(write(0x200, 0x80000000n | 0x06n), 0x80000006n);
  assert.equal(write(0x200, 0x8000000000n), undefined, 'bit 39 is above MAXPHYADDR');
  assert.equal(write(0x201, 0x7fc0000800n), 0x7fc0000800n);
  assert.equal(write(0x201, 0x400n), undefined);
  assert.equal(write(0x2ff, 0xc06n), 0xc06n);
  assert.equal(write(0x2ff, 0x1000n), undefined);
  assert.equal(rowOf(0xfe).reset, 0x508n);
});

test('ignored bits keep their value, reserved ones are refused', () => {
  const miscEnable = rowOf(0x1a0);
  assert.equal(msrAfterWrite(miscEnable, miscEnable.reset, 0x41801n), miscEnable.reset | 0x1800n);
  assert.equal(msrAfterWrite(miscEnable, miscEnable.reset, 0x1n), 0x1801n);
  assert.equal(msrAfterWrite(miscEnable, miscEnable.reset, 1n << 34n), undefined);
  assert.equal(write(0x49, 1n), 0n);
  assert.equal(write(0x49, 2n), undefined);
  assert.equal(rowOf(0x49).readable, false);
  assert.equal(write(0x10a, 0n), undefined, 'read-only');
  assert.equal(write(0x8b, 0n, 0x2b00070000000000n), 0x2b00070000000000n);
  assert.equal(write(0x174, 0x1_0000_0008n), 8n);
  assert.equal(write(0xc0000080, 0x501n, 0x400n), 0x501n, 'LMA stays');
  assert.equal(write(0xc0000080, 0x2n), undefined);
});
