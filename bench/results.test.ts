// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { resultLines } from './results.ts';
import type { ResultLine } from './results.ts';
import { checkSums } from './round.ts';
import type { ColumnReadings, Round } from './round.ts';
import { memoryText, prices } from './prices.ts';
import { tableText } from './table.ts';

const MEBIBYTE = 1 << 20;

function column(cpu: Readonly<Record<string, number>>, userspace = 1, sum = '0000002a'): ColumnReadings {
  const rows = Object.entries(cpu).map(([name, seconds]) => [name, { cpu: seconds, sum }] as const);
  const residency = { all: 100 * MEBIBYTE, largest: 60 * MEBIBYTE };
  return { rows: Object.fromEntries(rows), userspace, residency };
}

const find = (lines: readonly ResultLine[], name: string): ResultLine => {
  const found = lines.find((line) => line.name === name);
  assert.ok(found, `no line ${name}`);
  return found;
};

describe('the results of a benchmark', () => {
  it('takes ratios within rounds, and then their median', () => {
    const rounds: Round[] = [
      { bare: column({ calls: 2 }), qemu: column({ calls: 1 }) },
      { bare: column({ calls: 30 }), qemu: column({ calls: 10 }) },
      { bare: column({ calls: 8 }), qemu: column({ calls: 1 }) },
    ];
    const { cpu, ratios } = find(resultLines(rounds), 'calls');
    assert.deepEqual(cpu, { bare: 8, qemu: 1 });
    assert.deepEqual(ratios['bare/qemu'], { median: 3, least: 2, most: 8 });
  });

  it('takes geometric means of sets in each round', () => {
    const rounds: Round[] = [
      {
        bare: column({ calls: 1, movsb: 1, getpid: 5, fork: 4 }),
        qemu: column({ calls: 4, movsb: 1, getpid: 5, fork: 1 }),
      },
    ];
    const lines = resultLines(rounds);
    assert.equal(find(lines, 'compute, mean').ratios['bare/qemu']?.median, 0.5);
    assert.equal(find(lines, 'system, mean').ratios['bare/qemu']?.median, 2);
    assert.ok(!lines.some(({ name }) => name.startsWith('compute without')), 'a mean of one row');
  });

  it('has the way to userspace as its first line', () => {
    const [boot] = resultLines([{ bare: column({}, 6), bochs: column({}, 18) }]);
    assert.deepEqual(
      [boot!.name, boot!.cpu, boot!.ratios['bare/bochs']?.median],
      ['boot', { bare: 6, bochs: 18 }, 1 / 3],
    );
  });

  it('has no ratio to a column or a row that was not measured, nor to no time at all', () => {
    const lines = resultLines([{ bare: column({ calls: 1, fork: 1 }), qemu: column({ calls: 0 }) }]);
    assert.deepEqual(find(lines, 'calls').ratios, {});
    assert.deepEqual(find(lines, 'fork').ratios, {});
  });

  it('is a table with a dash for what is missing', () => {
    const rounds: Round[] = [{ bare: column({ calls: 1, fork: 2 }, 4), qemu: column({ calls: 2 }, 2) }];
    assert.deepEqual(tableText(resultLines(rounds)).split('\n'), [
      'CPU seconds  bare  qemu  bare/qemu',
      'boot         4.00  2.00       2.00',
      'calls        1.00  2.00       0.50',
      'fork         2.00     -          -',
      '',
    ]);
  });

  it('takes a price without what a row costs that does nothing', () => {
    const round: Round = { l2: column({ nothing: 0.5, cpuid: 2 }), bare: column({ nothing: 0.5, calls: 2 }) };
    assert.deepEqual(prices([round]), [{ row: 'cpuid', column: 'l2', microseconds: 30 }]);
  });

  it("tells the guest's memory from the rest of the process", () => {
    assert.match(memoryText([{ bare: column({}) }]), /^bare +100 +60 +40$/m);
  });
});

describe('the sums of rows', () => {
  it('are the same everywhere, or the row and the columns are named', () => {
    const same: Round = { bare: column({ calls: 1 }), qemu: column({ calls: 1 }) };
    checkSums([same, same]);
    const other: Round = { native: column({ calls: 1 }, 1, '0000002b') };
    assert.throws(() => checkSums([same, other]), /row calls: native computed 0000002b, and bare 0000002a/);
  });
});
