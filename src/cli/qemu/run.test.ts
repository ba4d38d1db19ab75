// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeHost } from '../fake-host.test.ts';
import {
  debugExit,
  echo,
  halt,
  loop,
  powerOff,
  reset,
  say,
  sayTextAt,
  spin,
  testKernel,
  tripleFault,
} from '../test-kernels.test.ts';

const DEBUG_EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4'];

/** Runs a kernel of this code as a suite for QEMU would. */
async function run(code: readonly (readonly number[])[], args: readonly string[] = [], host = new FakeHost()) {
  host.files.set('k', testKernel(code.flat()));
  const status = await host.run('qemu', '-nodefaults', '-m', '16', '-serial', 'stdio', '-kernel', 'k', ...args);
  return { status, output: host.output, errors: host.errors, host };
}

describe('turtles qemu', () => {
  it('ends with (value << 1) | 1 of the debug-exit port, and shows COM1 until then', async () => {
    const { status, output, errors } = await run([say('hello\n'), debugExit(3), spin], DEBUG_EXIT);
    assert.deepEqual({ status, output, errors }, { status: 7, output: 'hello\n', errors: '' });
    assert.equal((await run([debugExit(0x80), spin], DEBUG_EXIT)).status, 1);
  });

  it('ends with 66 at a level in circles with -wedge-timeout, and says where it is', async () => {
    const { status, errors } = await run([say('x'), spin], ['-wedge-timeout', '1']);
    assert.equal(status, 66);
    assert.match(
      errors,
      /^turtles-qemu: L1 makes no progress: for \d virtual seconds .* around 0x10\w+ .*\n {2}processor 0: in L1, at 0x10\w+, interrupts off\n/,
    );
    const working = await run([loop, debugExit(3)], [...DEBUG_EXIT, '-wedge-timeout', '1']);
    assert.equal(working.status, 7);
  });

  it('ends with 0 when the guest powers off', async () => {
    assert.equal((await run([powerOff, spin])).status, 0);
  });

  for (const [name, code] of [
    ['a reset', reset],
    ['a triple fault', tripleFault],
  ] as const) {
    it(`ends at ${name} with -no-reboot, and begins again without`, async () => {
      const { status, output, errors } = await run([say('x'), code, spin], ['--no-reboot']);
      assert.deepEqual({ status, output }, { status: 0, output: 'x' });
      assert.match(
        errors,
        code === reset ? /^$/ : /^turtles-qemu: L1 shut down after a triple fault: .*\n {2}L1 at RIP 0x10/,
      );
      const host = new FakeHost();
      let leave = (): void => {};
      host.onPause = (pauses) => pauses > 8 && leave();
      leave = () => {
        throw new Error('enough');
      };
      await run([say('x'), code, spin], [], host).catch(() => {});
      assert.match(host.output, /^x{2,}$/);
    });
  }

  it('sends each port where its -serial says', async () => {
    const { output, host } = await run([say('a'), say('b', 0x2f8), powerOff], ['-serial', 'file:second']);
    assert.deepEqual([output, host.files.get('second')], ['a', 'b']);
  });

  it('gives modules to a multiboot kernel with their arguments', async () => {
    const host = new FakeHost();
    host.files.set('env', Uint8Array.of(1));
    // mods_addr is at 24 of the information; the first module's text pointer is at 8 of its entry.
    const loadModules = [0x8b, 0x5b, 24]; // mov ebx, [ebx + 24]
    const { output } = await run([loadModules, sayTextAt(8), powerOff], ['-initrd', 'env a,,b=1 c'], host);
    assert.equal(output, 'env a,b=1 c');
  });

  it('gives -append to a multiboot kernel after its name', async () => {
    assert.equal((await run([sayTextAt(16), powerOff], ['-append', 'one two'])).output, 'k one two');
  });

  it('reads standard input, and waits for it while the guest has nothing to do', async () => {
    let type: (bytes: Uint8Array) => void = () => {};
    const host = new FakeHost({ onInput: (listener) => void (type = listener) });
    host.onPause = (pauses) => pauses === 3 && type(Uint8Array.of(0x41));
    assert.equal((await run([echo, powerOff], [], host)).output, 'A');
  });

  it('says that a guest which halts for good has stopped', async () => {
    const host = new FakeHost({ onInput: (_, ended) => ended() });
    const { status, errors } = await run([halt], [], host);
    assert.equal(status, 1);
    assert.match(
      errors,
      /^turtles-qemu: every processor waits for an interrupt that does not come[^\n]*\n {2}\S[^\n]*\n$/,
    );
  });

  it('says once what has no effect, in lines that suites know as warnings', async () => {
    const global = ['-global', 'kvm-pit.lost_tick_policy=discard'];
    const { status, errors } = await run(
      [debugExit(0), spin],
      [...DEBUG_EXIT, ...global, ...global, '-machine', 'accel=kvm', '-display', 'none', '-vnc', 'none'],
    );
    assert.equal(status, 1);
    assert.deepEqual(
      errors.split('\n').filter((line) => line !== '' && !line.startsWith('turtles-qemu: warning: ')),
      [],
    );
    assert.equal(errors.match(/kvm-pit/g)?.length, 1);
  });

  it('names the features that the processor does not have, with L0 and without', async () => {
    for (const l0 of ['on', 'off']) {
      const { errors } = await run(
        [debugExit(0), spin],
        [...DEBUG_EXIT, '-accel', `turtles,l0=${l0}`, '-cpu', 'max,+avx2,avx=on,-avx,+smap'],
      );
      const features = [...errors.matchAll(/warning: CPU feature (\S+): the processor does not have it\n/g)];
      assert.deepEqual(
        features.map(([, edit]) => edit),
        ['+avx2', 'avx=on'],
      );
    }
  });
});
