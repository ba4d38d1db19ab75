// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { UserError } from '../base/errors.ts';
import { syntheticBzImage } from '../boot/synthetic-kernels.ts';
import { writeCpio } from '../formats/cpio.ts';
import { commandLineText } from '../images/recipe.ts';
import { BATCH_WORD, innerGuest, MARKERS } from '../images/recipes.ts';
import { ExitStatistics } from '../trace/exit-statistics.ts';
import { DESCRIPTIONS, findDescription } from './descriptions.ts';
import { exitTable, recentExits } from './exit-report.ts';
import { checkInitrd } from './initrd-check.ts';
import { findStop, Milestones } from './progress.ts';
import { grouped, parseCount, parseFrequency, parseMemory } from './quantities.ts';
import { summarize, summaryText } from './summary.ts';

describe('milestones', () => {
  const L1 = 0;
  const L2 = 1;
  // prettier-ignore
  const MAIN: readonly [console: number, line: string, stopBefore: RegExp][] = [
    [L1, MARKERS.hypervisorUp,              /^L1 did not boot/],
    [L1, `${MARKERS.startingInnerGuest}`,   /^L1 did not load KVM/],
    [L2, MARKERS.selfCheckBegins,           /^L2 did not boot/],
    [L2, `[  1.0] ${MARKERS.selfCheckPassed}`, /^L2 did not pass its self-check/],
    [L2, MARKERS.poweringOff,               /^L2 did not get as far/],
    [L1, `${MARKERS.innerGuestEnded}0`,     /^L1 did not see its QEMU end/],
    [L1, MARKERS.poweringOff,               /^L1 did not get as far/],
  ];

  it('name the level that stopped, wherever that is', () => {
    const milestones = new Milestones(findDescription('main'));
    for (const [console, line, stop] of MAIN) {
      const found = findStop(milestones);
      assert.match(found?.says ?? '', stop);
      assert.equal(found?.console, console);
      milestones.line(1 - console, line === MARKERS.poweringOff ? '' : line);
      assert.match(findStop(milestones)?.says ?? '', stop, 'the other console does not count');
      milestones.line(console, line);
    }
    assert.equal(findStop(milestones), undefined);
  });

  it('do not take a failed QEMU for one that ended well', () => {
    const milestones = new Milestones(findDescription('main'));
    milestones.line(L1, `${MARKERS.innerGuestEnded}1`);
    const ended = milestones.description.milestones.find(({ marker }) => marker.startsWith(MARKERS.innerGuestEnded))!;
    assert.equal(milestones.passed(ended), false);
  });

  it('lie on consoles that the description has', () => {
    for (const { milestones, levels, interactive } of DESCRIPTIONS) {
      assert.ok(interactive < levels.length);
      for (const { console } of milestones) assert.ok(console < levels.length);
    }
    assert.throws(() => findDescription('windows'), UserError);
  });
});

describe('quantities', () => {
  it('are read as people write them', () => {
    assert.equal(parseMemory('512M', '-m'), 2 ** 29);
    assert.equal(parseMemory('512', '-m', 2 ** 20), 2 ** 29);
    assert.equal(parseMemory('1.5g', '-m'), 1.5 * 2 ** 30);
    assert.equal(parseMemory('4194305', '-m'), 2 ** 22, 'whole pages');
    assert.equal(parseFrequency('1G', '-f'), 1e9);
    assert.equal(parseFrequency('250MHz', '-f'), 2.5e8);
    assert.equal(parseCount('0x10', '-n', 0, 20), 16);
    assert.equal(grouped(1234567), '1,234,567');
    assert.equal(grouped(123), '123');
  });

  for (const bad of ['', '5x', '-1', '1M', '64G', '1..5M', 'M']) {
    it(`memory '${bad}' is refused`, () => assert.throws(() => parseMemory(bad, '--memory'), UserError));
  }
  for (const bad of ['', '0', '10', '1T', '1.5']) {
    it(`frequency '${bad}' is refused`, () => assert.throws(() => parseFrequency(bad, '--frequency'), UserError));
  }
});

describe('the summary', () => {
  const missing = new Map([
    ['VMXON Mq (x)', 2],
    ['AAA (37)', 5],
  ]);
  const unknown = new Map([[0x491, { reads: 1, writes: 0 }]]);
  const summary = summarize({
    machine: {
      instructions: 2_000_000,
      ticks: 3_000_000,
      schedule: { toNanoseconds: (ticks) => ticks * 2 },
      processors: [{ decoding: { routines: { missing } } }],
    },
    bus: {
      unclaimed: () => [
        { space: 'memory', address: 0xfed40000, reads: 1, writes: 0 },
        { space: 'port', address: 0x80, reads: 0, writes: 4 },
      ],
    },
    unknownMsrs: [unknown, unknown],
  });

  it('adds up processors, and sorts', () => {
    assert.deepEqual(summary.unknownMsrs, [{ index: 0x491, reads: 2, writes: 0 }]);
    assert.deepEqual(
      summary.missingOpcodes.map(({ times }) => times),
      [5, 2],
    );
    assert.equal(summary.virtualSeconds, 0.006);
  });

  it('reads as text', () => {
    assert.equal(
      summaryText(summary, { wall: 0.5, cpu: 0.75 }),
      [
        '2,000,000 instructions, 0.006 virtual seconds, 0.5 host seconds (CPU 0.8), 4.0 MIPS',
        'missing opcodes: AAA (37) × 5, VMXON Mq (x) × 2',
        'unknown MSRs: 0x491 (2 r, 0 w)',
        'unclaimed ports: 0x80 (0 r, 4 w)',
        'unclaimed memory: 0xfed40000 (1 r, 0 w)',
      ].join('\n'),
    );
  });
});

describe('tables of exits', () => {
  it('have a row for each reason, and the last exits by name', () => {
    const exits = new ExitStatistics();
    exits.exit(0, 10, -0x7f000000, 1000);
    exits.entry(0, 3000);
    assert.match(
      exitTable('L2', exits),
      /^Exits of L2, .*\n\n {13}VM-EXIT {4}Samples .*\n\n {15}CPUID {10}1 {3}100\.00%/,
    );
    assert.deepEqual(recentExits(exits), ['0.000001000 CPUID rip 0xffffffff81000000']);
    assert.equal(exitTable('L1', new ExitStatistics()), 'Exits of L1: none.\n');
  });
});

describe('an initial ramdisk', () => {
  const archive = writeCpio([{ kind: 'file', path: 'init', mode: 0o755, bytes: new Uint8Array(5000) }]);
  const check = (bytes: Uint8Array) =>
    checkInitrd({
      kernel: syntheticBzImage(),
      kernelName: 'k',
      commandLine: '',
      modules: [{ name: 'i', bytes, commandLine: '' }],
    });

  it('is a whole archive, alone or before others, or compressed', () => {
    check(archive);
    check(Uint8Array.from([...archive, 0x1f, 0x8b]));
    check(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0));
  });

  it('is refused when it is cut anywhere, or something else', () => {
    const trailer = Buffer.from(archive).lastIndexOf('TRAILER!!!');
    for (const length of [6, 110, 3000, trailer]) assert.throws(() => check(archive.subarray(0, length)), /truncated/);
    assert.throws(() => check(new Uint8Array(0)), /no initial ramdisk/);
    assert.throws(() => check(Buffer.from('#!/bin/sh\n')), /no initial ramdisk/);
  });

  it('of another kind of kernel is not looked at', () => {
    const elf = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, ...new Uint8Array(100));
    checkInitrd({
      kernel: elf,
      kernelName: 'k',
      commandLine: '',
      modules: [{ name: 'i', bytes: Uint8Array.of(1), commandLine: '' }],
    });
  });
});

it('docs/kernel-command-lines.md states every command line and the reason of every word', () => {
  const text = readFileSync(new URL('../../docs/kernel-command-lines.md', import.meta.url), 'utf8');
  for (const recipe of [...DESCRIPTIONS.map((description) => description.recipe()), innerGuest()]) {
    assert.ok(text.includes(`| \`${commandLineText(recipe.commandLine)}\` |`), recipe.name);
    for (const { word } of recipe.commandLine) assert.ok(text.includes(`| \`${word}\` | `), word);
  }
  assert.ok(text.includes(`| \`${BATCH_WORD}\` | `));
});
