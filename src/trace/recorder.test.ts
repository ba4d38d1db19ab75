// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TraceEvent } from './events.ts';
import { ExitStatistics } from './exit-statistics.ts';
import { noRecorder, RunRecorder } from './recorder.ts';

const CPUID = 10;
const HLT = 12;

describe('ExitStatistics', () => {
  it('times from exit to entry, by reason, the most frequent first', () => {
    const exits = new ExitStatistics();
    exits.entry(0, 100);
    exits.exit(0, HLT, 1, 200);
    exits.entry(0, 5200);
    for (const [at, took] of [
      [6000, 10],
      [7000, 30],
    ] as const) {
      exits.exit(0, CPUID, 2, at);
      exits.entry(0, at + took);
    }
    const [cpuid, hlt] = exits.counts();
    assert.deepEqual(
      { ...hlt },
      { reason: HLT, samples: 1, total: 5000, minimum: 5000, maximum: 5000, relativeDeviation: 0 },
    );
    assert.deepEqual([cpuid.samples, cpuid.total, cpuid.minimum, cpuid.maximum], [2, 40, 10, 30]);
    // Two samples 10 and 30: standard deviation sqrt(200), over sqrt(2), over the mean of 20.
    assert.ok(Math.abs(cpuid.relativeDeviation - 0.5) < 1e-12);
    assert.equal(exits.count, 3);
  });

  it('keeps processors apart, and counts an exit that nothing follows', () => {
    const exits = new ExitStatistics();
    exits.exit(0, CPUID, 0, 0);
    exits.exit(1, HLT, 0, 10);
    exits.entry(0, 100);
    assert.deepEqual(
      exits.counts().map(({ reason, samples, total }) => [reason, samples, total]),
      [
        [CPUID, 1, 100],
        [HLT, 1, 0],
      ],
    );
  });

  it('counts a failed entry under its basic reason, and shows the last exits in order', () => {
    const exits = new ExitStatistics();
    for (let i = 0; i < 40; i++) exits.exit(0, i === 39 ? 0x80000021 : CPUID, i, i * 10);
    const recent = exits.recent();
    assert.deepEqual(
      recent.map(({ rip }) => rip),
      Array.from({ length: 16 }, (_, i) => 24 + i),
    );
    assert.equal(recent.at(-1)?.reason, 0x80000021);
    assert.deepEqual(
      exits.counts().map(({ reason, samples }) => [reason, samples]),
      [
        [CPUID, 39],
        [33, 1],
      ],
    );
  });
});

describe('RunRecorder', () => {
  it('counts each level by itself, and traces only into a sink', () => {
    const events: TraceEvent[] = [];
    const recorder = new RunRecorder((event) => events.push(event));
    recorder.exit(2, 0, CPUID, 0, 1);
    recorder.exit(1, 0, HLT, 0, 2);
    recorder.entry(2, 0, 9);
    recorder.event('kvm_entry', 0, 0, 9, { vcpu_id: 0, rip: 0xfff0 });
    assert.deepEqual([recorder.exitsOf(1).count, recorder.exitsOf(2).count, recorder.exitsOf(3).count], [1, 1, 0]);
    assert.equal(recorder.exitsOf(2).counts()[0].total, 8);
    assert.deepEqual(events, [
      { name: 'kvm_entry', level: 0, processor: 0, nanoseconds: 9, fields: { vcpu_id: 0, rip: 0xfff0 } },
    ]);
    assert.deepEqual([recorder.tracing, new RunRecorder().tracing, noRecorder.tracing], [true, false, false]);
  });
});
