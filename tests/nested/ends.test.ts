// SPDX-License-Identifier: Apache-2.0
// How `turtles run` says that a level brought the run to an end: with the level, where it was, and why, by its status.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fieldNamed } from '../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import { FakeHost } from '../../src/cli/fake-host.test.ts';
import { STATUS } from '../../src/cli/statuses.ts';
import { powerOff, say, spin, testKernel, tripleFault } from '../../src/cli/test-kernels.test.ts';
import { IMAGES, readImage } from './image.ts';
import { kernelFor } from './runs.ts';

const OWNERS = [
  { name: 'on the machine itself', options: ['--bare'] },
  { name: 'under L0', options: [] },
] as const;

async function run(kernel: Uint8Array, ...options: string[]) {
  const host = new FakeHost();
  host.files.set('k', kernel);
  const status = await host.run('run', 'linux', '--batch', '--kernel', 'k', '--memory', '64M', ...options);
  return { status, errors: host.errors };
}

type Patch = readonly [old: readonly number[], bytes: readonly number[]];

/** tests/nested's L1 with its L2, with `bytes` where the bytes `old` come first. */
function patched(...patches: readonly Patch[]): Uint8Array {
  const kernel = kernelFor(readImage(IMAGES.l1).bytes, {
    profile: 'modern-1',
    ept: true,
    dirtyFlags: false,
    vpid: true,
    tprShadow: false,
  });
  for (const [old, bytes] of patches) {
    const at = Buffer.from(kernel).indexOf(Buffer.from(old));
    assert.ok(at > 0);
    kernel.set(bytes, at);
  }
  return kernel;
}

/** `cmp ebx, EXIT_VMCALL; je ...`: L1 decides what to do about an exit. Other comparisons follow. */
const DECISION = [0x83, 0xfb, 18, 0x0f, 0x84];
/** `lidt` of zeroes, a table of nothing; `ud2`. */
const DIE = [0x0f, 0x01, 0x1c, 0x25, 0x00, 0x00, 0x30, 0x00, 0x0f, 0x0b];
/** `mov eax, 1; cpuid`: L2's first instructions after its first exit. */
const CPUID_OF_L2 = [0xb8, 1, 0, 0, 0, 0x0f, 0xa2];

/** A row of L1's table of fields and values. */
const field = (name: FieldName, value: number): number[] => {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(fieldNamed(name).encoding, 0);
  bytes.writeUInt32LE(value, 8);
  return [...bytes];
};
/** L1's page tables: their first entry is no MSR that can be loaded. */
const NO_MSRS = 0x200000;

for (const { name, options } of OWNERS) {
  describe(`a run that a level ends, ${name}`, () => {
    test('a triple fault: level, exceptions, place, status', async () => {
      const { status, errors } = await run(testKernel([...say('last words'), ...tripleFault, ...spin]), ...options);
      assert.equal(status, STATUS.shutdown);
      assert.match(
        errors,
        /^turtles: L1 shut down after a triple fault: it began with #BP and ended with #GP in the delivery of #DF\n {2}L1 at RIP 0x10\w{4}, CR3 0x0, CR2 0x0, processor 0, instruction \d+\n/,
      );
      assert.match(errors, /last lines of L1's console:\n {4}last words\n/);
    });

    test('an L1 that dies while it handles an exit of its L2: that exit is named', async () => {
      const { status, errors } = await run(patched([DECISION, DIE]), ...options);
      assert.equal(status, STATUS.shutdown);
      assert.match(
        errors,
        /^turtles: L1 shut down after a triple fault: it began with #UD and ended with #(NP|GP) in the delivery of #DF\n/m,
      );
      assert.match(errors, /\n {2}while it handled an exit of L2: VMCALL rip 0x10\w{4}\n/);
      assert.match(errors, /last exits of L2:\n[^]*VMCALL/);
    });

    test('a VM exit that cannot be completed: a VMX abort', async () => {
      const kernel = patched(
        [field('CR3_TARGET_COUNT', 0), field('VM_EXIT_MSR_LOAD_COUNT', 1)],
        [field('TPR_THRESHOLD', 4), field('VM_EXIT_MSR_LOAD_ADDR', NO_MSRS)],
      );
      const { status, errors } = await run(kernel, ...options);
      assert.equal(status, STATUS.shutdown);
      assert.match(
        errors,
        /^turtles: L1 shut down: a VM exit of L2 could not be completed \(VMX abort 4, loading host msrs\)\n {2}L1 at RIP/m,
      );
    });

    test('a level that goes in circles with interrupts off: L1', async () => {
      const { status, errors } = await run(
        testKernel([...say('x'), ...spin]),
        '--wedge-timeout',
        '0.01',
        '--slice',
        '100000',
        ...options,
      );
      assert.equal(status, STATUS.wedged);
      assert.match(
        errors,
        /^turtles: L1 makes no progress: for 0 virtual seconds processor 0 has been in the page around 0x10\w{4} with interrupts off/,
      );
      assert.match(errors, /\n {2}processor 0: in L1, at 0x10\w{4}, interrupts off\n/);
    });

    test('a level that goes in circles with interrupts off: L2', async () => {
      const kernel = patched([CPUID_OF_L2, spin]);
      const { status, errors } = await run(kernel, '--wedge-timeout', '0.01', '--slice', '100000', ...options);
      assert.equal(status, STATUS.wedged);
      assert.match(errors, /^turtles: L2 makes no progress: /m);
      assert.match(errors, /\n {2}processor 0: in L2, at 0x10\w{4}, interrupts off\n/);
      assert.match(errors, /last exits of L2:\n[^]*VMCALL/);
    });

    test('who says something on a console, or lets interrupts in, makes progress', async () => {
      const talk = [...say('x'), 0xb9, 0x00, 0x00, 0x02, 0x00, 0x49, 0x75, 0xfd]; // mov ecx, 0x20000; dec ecx; jnz -3
      const busy = [...Array.from({ length: 40 }, () => talk).flat(), ...powerOff];
      const watched = ['--wedge-timeout', '0.002', '--slice', '10000', ...options];
      assert.equal((await run(testKernel(busy), ...watched)).status, STATUS.ok);
      const open = [0xb9, 0x00, 0x00, 0x80, 0x00, 0x49, 0x75, 0xfd, ...powerOff]; // mov ecx, 0x800000; ...
      assert.equal((await run(testKernel([0xfb, ...open]), ...watched)).status, STATUS.ok);
      assert.equal((await run(testKernel(open), ...watched)).status, STATUS.wedged);
    });
  });
}

test('a failed entry of a recorded run says how to see the machine right before the field was written', async () => {
  for (const { options } of OWNERS) {
    const host = new FakeHost();
    host.files.set('k', patched([CPUID_OF_L2, spin]));
    const words = [
      'linux',
      '--batch',
      '--kernel',
      'k',
      '--memory',
      '64M',
      '--wedge-timeout',
      '0.01',
      '--slice',
      '100000',
    ];
    await host.run('run', ...words, ...options, '--record', 'r');
    const said =
      /written VMWRITE at 0x(\w+), 1 instruction earlier\n.*\n {2}replay {2}turtles replay r --to (\d+)\n/.exec(
        host.errors,
      );
    assert.ok(said, host.errors);
    host.files.set('r', Buffer.from(String(host.files.get('r'))));
    assert.equal(await host.run('replay', 'r', '--to', said[2]), 0);
    assert.match(host.output, new RegExp(`CPU#0 in L1\n[^]*RIP=0*${said[1]} `));
  }
});
