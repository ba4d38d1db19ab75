// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firmwareCmos, firmwareLocalApic, firmwareMsrs, firmwarePorts } from './firmware-state.ts';
import { pcLayout } from './layout.ts';

const traits = { physicalAddressBits: 39, vmx: true, monitor: true, microcodeRevision: 0x42, variableRanges: 8 };
const values = (ecamBase: number) =>
  new Map(firmwareMsrs(pcLayout({ ecam: { base: ecamBase, buses: 256 } }), traits).map((row) => [row.msr, row.value]));

/** Memory type of an address by the MTRR rules. See: SDM 12.11.4.1 MTRR Precedences. */
function memoryType(msrs: Map<number, bigint>, address: bigint): bigint {
  if (address < 0x100000n) {
    const at = Number(address);
    // prettier-ignore
    const [msr, field] = at < 0x80000 ? [0x250, at >> 16] : at < 0xc0000 ? [0x258 + ((at - 0x80000) >> 17), (at >> 14) & 7] : [0x268 + ((at - 0xc0000) >> 15), (at >> 12) & 7];
    return (msrs.get(msr)! >> BigInt(field * 8)) & 0xffn;
  }
  for (let range = 0; range < 8; range++) {
    const [base, mask] = [msrs.get(0x200 + range * 2)!, msrs.get(0x201 + range * 2)!];
    if ((mask & 0x800n) !== 0n && (address & mask & ~0xfffn) === (base & mask & ~0xfffn)) return base & 0xffn;
  }
  return msrs.get(0x2ff)! & 0xffn;
}

test('MTRRs: write-back but for the video hole and the PCI hole', () => {
  for (const hole of [0xb0000000, 0xc0000000, 0xe0000000]) {
    const msrs = values(hole);
    // prettier-ignore
    const rows: [address: bigint, type: bigint][] = [
      [0n, 6n], [0x9ffffn, 6n], [0xa0000n, 0n], [0xbffffn, 0n], [0xc0000n, 6n], [0xfffffn, 6n], [0x100000n, 6n],
      [BigInt(hole - 1), 6n], [BigInt(hole), 0n], [0xfee00000n, 0n], [0xffffffffn, 0n], [0x100000000n, 6n],
    ];
    for (const [address, type] of rows) assert.equal(memoryType(msrs, address), type, address.toString(16));
    assert.equal(msrs.get(0x2ff), 0xc06n);
  }
  assert.equal(values(0xc0000000).get(0x201), 0x7fc0000800n, 'the mask is as wide as physical addresses');
});

test('the other MSRs follow the processor', () => {
  const msrs = values(0xb0000000);
  assert.equal(msrs.get(0x3a), 5n);
  assert.equal(msrs.get(0x8b), 0x42n << 32n);
  assert.equal(msrs.get(0x1a0), 0x41801n);
  assert.equal(msrs.get(0x277), 0x0007040600070406n);
  const plain = firmwareMsrs(pcLayout(), { ...traits, vmx: false, monitor: false });
  assert.equal(
    plain.find((row) => row.msr === 0x3a),
    undefined,
  );
  assert.equal(plain.find((row) => row.msr === 0x1a0)!.value, 0x1801n);
});

test('a hole that takes too many ranges is a bug of ours', () => {
  assert.throws(() => firmwareMsrs(pcLayout(), { ...traits, variableRanges: 1 }), /takes 2 MTRRs/);
});

test('only the boot processor takes ExtINT', () => {
  const lint0 = (boot: boolean) => firmwareLocalApic(boot).find((row) => row.offset === 0x350)!.value;
  assert.deepEqual([lint0(true), lint0(false)], [0x700, 0x10000]);
});

test('8259s end masked but for the cascade', () => {
  assert.equal(firmwarePorts.findLast((row) => row.port === 0x21)!.value, 0xfb);
  assert.equal(firmwarePorts.findLast((row) => row.port === 0xa1)!.value, 0xff);
});

test('CMOS memory sizes', () => {
  const cmos = new Map(firmwareCmos(pcLayout({ memoryBytes: 4 * 2 ** 30 })).map((row) => [row.index, row.value]));
  const word = (at: number): number => cmos.get(at)! + 256 * cmos.get(at + 1)!;
  assert.deepEqual(
    [word(0x15), word(0x17), word(0x34) * 64, word(0x5b) * 64],
    [640, 65535, (2816 - 16) * 1024, 1280 * 1024],
  );
});
