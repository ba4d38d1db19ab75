// SPDX-License-Identifier: Apache-2.0
// A hand-written L1 and L2, on the machine itself and under L0: at every exit of L2 L1 must find the same in every field
// of its VMCS, in registers and in the time-stamp counter, and leave the same memory, accessed and dirty flags included.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { IMAGES, readImage, sourcesDigest } from './image.ts';
import { LOGGED, kernelFor, runBare, runUnderL0 } from './runs.ts';
import type { Outcome, Variant } from './runs.ts';
import { differences, readLog, reasonOf } from './log.ts';

// prettier-ignore
const VARIANTS: readonly Omit<Variant, 'profile'>[] = [
  { ept: true,  dirtyFlags: false, vpid: true,  tprShadow: true },
  { ept: true,  dirtyFlags: true,  vpid: true,  tprShadow: false },
  { ept: false, dirtyFlags: false, vpid: true,  tprShadow: true },
  { ept: false, dirtyFlags: false, vpid: false, tprShadow: false },
  { ept: true,  dirtyFlags: false, vpid: false, tprShadow: true },
];

// Why L2 exits in every variant; with EPT; with a TPR shadow; and on one of the profiles only.
// prettier-ignore
const REASONS = {
  always: [
    'INVALID_STATE', 'VMCALL', 'CPUID', 'HLT', 'EXCEPTION_NMI', 'MSR_READ', 'MSR_WRITE', 'IO_INSTRUCTION', 'CR_ACCESS', 'DR_ACCESS',
    'INVLPG', 'RDPMC', 'INVD', 'INVEPT', 'VMON', 'VMREAD', 'VMLAUNCH', 'MONITOR_INSTRUCTION', 'MWAIT_INSTRUCTION',
    'INTERRUPT_WINDOW', 'EXTERNAL_INTERRUPT',
  ],
  ept: ['EPT_VIOLATION', 'EPT_MISCONFIG'],
  tprShadow: ['APIC_ACCESS', 'TPR_BELOW_THRESHOLD'],
  'modern-1': ['WBINVD', 'GDTR_IDTR', 'LDTR_TR', 'RDRAND', 'INVPCID', 'PREEMPTION_TIMER', 'MONITOR_TRAP_FLAG'],
  'paper-1': ['TRIPLE_FAULT'],
};
/** What L1 writes to the debug-exit port, as the device reports it. */
const FINISHED = { kind: 'debugExit', code: 3 };
const SHOWN = 10;

const { digest, bytes: image } = readImage(IMAGES.l1);

function assertSame(bare: Outcome, under: Outcome): void {
  const found = differences(bare, under);
  assert.equal(found.length, 0, `${found.length} differences:\n${found.slice(0, SHOWN).join('\n')}`);
  assert.deepEqual([bare.end, under.end], [FINISHED, FINISHED]);
}

function expectedReasons({ profile, ept, tprShadow }: Variant): string[] {
  const some = [...(ept ? REASONS.ept : []), ...(tprShadow ? REASONS.tprShadow : [])];
  return [...REASONS.always, ...some, ...REASONS[profile]].sort();
}

describe('L1 finds the same bare and under L0', () => {
  test('the image is made of the sources beside it', () => {
    assert.equal(digest, sourcesDigest(IMAGES.l1), 'run `node tests/nested/assemble.ts`');
  });

  for (const profile of ['modern-1', 'paper-1'] as const)
    for (const options of VARIANTS) {
      const variant = { profile, ...options };
      test(Object.entries(variant).join('; ').replaceAll(',', ': '), () => {
        const kernel = kernelFor(image, variant);
        const bare = runBare(kernel, profile);
        const reasons = new Set(readLog(bare.log).exits.map(reasonOf));
        assert.deepEqual([...reasons].sort(), expectedReasons(variant), 'L2 does what it is for');
        assertSame(bare, runUnderL0(kernel, profile));
      });
    }

  test('also when L0 is run in slices of 997 ticks', () => {
    const kernel = kernelFor(image, { profile: 'modern-1', ...VARIANTS[0] });
    assertSame(runBare(kernel, 'modern-1'), runUnderL0(kernel, 'modern-1', 997));
  });
});

describe('the comparison', () => {
  const [first, second] = VARIANTS.map((options) => kernelFor(image, { profile: 'modern-1', ...options }));
  let bare: Outcome;
  before(() => {
    bare = runBare(first, 'modern-1');
  });

  test('sees a word, a missing exit and a byte', () => {
    const log = bare.log.slice();
    log[log.length - 1] ^= 1n;
    assert.equal(differences(bare, { ...bare, log }).length, 1);
    const { exits } = readLog(bare.log);
    assert.ok(exits.every((exit) => exit.length >= LOGGED.length));
    const last = exits[exits.length - 1].length;
    assert.equal(differences(bare, { ...bare, log: bare.log.slice(0, -last) }).length, last);
    const memory = bare.memory.slice();
    memory[0x310000] ^= 1;
    assert.equal(differences(bare, { ...bare, memory }).length, 1);
  });

  test('sees what another L1 chose, in the fields that say so', () => {
    const found = differences(bare, runUnderL0(second, 'modern-1')).join('\n');
    for (const name of ['EPT_POINTER', 'SECONDARY_VM_EXEC_CONTROL', 'TSC']) assert.match(found, RegExp(`: ${name} is`));
  });
});
