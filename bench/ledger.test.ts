// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ledger, total } from './ledger.ts';
import { parseMarker } from './markers.ts';
import { chooseRows, ROWS, rowsAt } from './rows.ts';
import { geometricMean, median, spread } from './statistics.ts';

describe('markers on a console', () => {
  it('are read with a level before them and a carriage return after them', () => {
    assert.deepEqual(parseMarker('L2: bench> calls\r'), { kind: 'begin', row: 'calls' });
    assert.deepEqual(parseMarker('bench< calls 0035c7e2'), { kind: 'end', row: 'calls', sum: '0035c7e2' });
    assert.deepEqual(parseMarker('bench! iopl\r'), { kind: 'failure', what: 'iopl' });
    assert.deepEqual(parseMarker('bench@ loaded'), { kind: 'loaded' });
  });

  it('are whole lines', () => {
    for (const line of [
      '[    0.1] Run /bench as init process',
      'bench> ',
      'bench< calls 35c7e2',
      'bench> calls and',
      '',
    ])
      assert.equal(parseMarker(line), undefined);
  });
});

describe('the ledger of a console', () => {
  it('charges to a row what passed between its markers, and to userspace what passed before the first', () => {
    const ledger = new Ledger();
    ledger.line('[    0.1] something', 1);
    ledger.line('bench> nothing', 3);
    ledger.line('bench< nothing 00000000', 3.5);
    ledger.line('bench> calls', 4);
    ledger.line('bench< calls 0035c7e2', 6);
    assert.equal(ledger.userspace, 3);
    assert.deepEqual(ledger.readings.get('calls'), { cpu: 2, sum: '0035c7e2' });
    assert.equal(total(ledger), 2.5);
    assert.equal(ledger.missing(['calls']), undefined);
    assert.equal(ledger.missing(['calls', 'fork']), 'fork');
  });

  it('does not count the loading of a kernel', () => {
    const ledger = new Ledger();
    ledger.line('bench@ loaded', 2);
    ledger.line('bench> nothing', 7);
    assert.equal(ledger.userspace, 5);
  });

  it('misses the row that every run begins with', () => {
    assert.equal(new Ledger().missing([]), 'nothing');
  });

  it('refuses an end without its beginning, and what the guest says has failed', () => {
    const ledger = new Ledger();
    ledger.line('bench> calls', 1);
    assert.throws(() => ledger.line('bench< fork 00000000', 2), /row fork ended and had not begun/);
    assert.throws(() => ledger.line('bench! iopl', 2), /the guest program failed: iopl/);
  });
});

describe('the choice of rows', () => {
  it('is by name or set, in the order of the table', () => {
    const names = chooseRows(['getpid', 'exits', 'integer']).map(({ name }) => name);
    assert.deepEqual(names, ['integer', 'getpid', 'cpuid', 'out']);
    assert.deepEqual(chooseRows(['boot']), []);
    assert.throws(() => chooseRows(['colour']), /no row or set called colour; there are boot, compute, /);
  });

  it('leaves exits to levels that have them', () => {
    assert.ok(!rowsAt(ROWS, 'bare').includes('cpuid'));
    assert.ok(rowsAt(ROWS, 'l2').includes('cpuid'));
  });
});

describe('statistics', () => {
  it('has the median of odd and even counts', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.throws(() => median([]), /of nothing/);
  });

  it('has the geometric mean and the spread', () => {
    assert.ok(Math.abs(geometricMean([1, 4, 16]) - 4) < 1e-12);
    assert.throws(() => geometricMean([]), /of nothing/);
    assert.deepEqual(spread([2, 1, 9]), { median: 2, least: 1, most: 9 });
  });
});
