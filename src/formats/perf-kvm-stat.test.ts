// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { perfKvmStat } from './perf-kvm-stat.ts';

// Figures of a report that somebody published: 40 samples in sum instead of 79,751, same widths.
const ROWS = [
  { name: 'MSR_WRITE', samples: 30, total: 30 * 1710, minimum: 500, maximum: 52_940, relativeDeviation: 0.0048 },
  {
    name: 'EXTERNAL_INTERRUPT',
    samples: 10,
    total: 82_243_600,
    minimum: 630,
    maximum: 17_539_260,
    relativeDeviation: 0.0061,
  },
];

describe('perfKvmStat', () => {
  it('has the columns of perf, character by character', () => {
    assert.equal(
      perfKvmStat('Analyze events for all VMs, all VCPUs:', ROWS),
      [
        'Analyze events for all VMs, all VCPUs:',
        '',
        '             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time',
        '',
        '           MSR_WRITE         30    75.00%     0.06%      0.50us     52.94us      1.71us ( +-   0.48% )',
        '  EXTERNAL_INTERRUPT         10    25.00%    99.94%      0.63us  17539.26us   8224.36us ( +-   0.61% )',
        '',
        'Total Samples:40, Total events handled time:82294.90us.',
        '',
      ].join('\n'),
    );
  });

  it('has a table of nothing', () => {
    assert.match(perfKvmStat('x', []), /Total Samples:0, Total events handled time:0\.00us\.\n$/);
  });
});
