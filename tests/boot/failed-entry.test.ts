// SPDX-License-Identifier: Apache-2.0
// Debian's KVM as L1, with a program that gives its guest a CS of type 0: KVM's VMLAUNCH fails, and the explanation names
// KVM's functions, found in the kernel's memory. The oracle for the names is the guest's own /proc/kallsyms.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { UserError } from '../../src/base/errors.ts';
import { LevelSymbols } from '../../src/debug/level-symbols.ts';
import { writeCpio } from '../../src/formats/cpio.ts';
import { prepareGuest } from '../../src/images/prepare.ts';
import { hypervisorGuest } from '../../src/images/recipes.ts';
import { nodeImageHost } from '../../src/platform/node/image-host.ts';
import { ConsoleChannel } from '../../src/system/console-channel.ts';
import { EntryFailures } from '../../src/system/entry-failures.ts';
import { makeRecorder } from '../../src/system/recording.ts';
import { Session } from '../../src/system/session.ts';

const MIB = 2 ** 20;
const SECONDS = 1e9;
const FLAGS = ['-O2', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-nostdlib', '-static', '-no-pie', '-fno-pic', '-fno-stack-protector', '-fcf-protection=none']; // prettier-ignore
const INIT = `#!/bin/sh
/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "$module"; done < /etc/turtles/modules
grep kvm_intel /proc/kallsyms
/probe
poweroff -f
`;

/** The program, or why there is none. */
function compiled(): Uint8Array | string {
  const folder = mkdtempSync(join(tmpdir(), 'turtles-probe-'));
  try {
    const source = join(import.meta.dirname, '../../guests/failed-entry/probe.c');
    const { status, stderr, error } = spawnSync('gcc', [...FLAGS, '-o', join(folder, 'probe'), source]);
    if (error !== undefined) return 'there is no gcc';
    assert.equal(status, 0, String(stderr));
    return readFileSync(join(folder, 'probe'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function image(): Promise<{ kernel: Uint8Array; initrd: Uint8Array } | string> {
  if (!existsSync('/usr/bin/apt-get')) return 'this machine has no apt';
  const probe = compiled();
  if (typeof probe === 'string') return probe;
  try {
    const { kernel, initrd } = await prepareGuest(hypervisorGuest(), nodeImageHost());
    const file = (path: string, bytes: Uint8Array) => ({ kind: 'file', path, mode: 0o755, bytes }) as const;
    const added = writeCpio([file('init', Buffer.from(INIT)), file('probe', probe)]);
    return { kernel, initrd: Buffer.concat([initrd, added]) };
  } catch (error) {
    if (error instanceof UserError) return `Debian's packages cannot be had: ${error.message}`;
    throw error;
  }
}

describe("Debian's KVM, and a VM entry of its that fails", () => {
  for (const bare of [true, false]) {
    test(bare ? 'on the machine itself' : 'under L0', async (context) => {
      const files = await image();
      if (typeof files === 'string') return context.skip(files);
      const { kernel, initrd } = files;
      const console = new ConsoleChannel(true);
      const recorder = makeRecorder(undefined);
      const session = new Session({
        pc: { ramBytes: 512 * MIB, processors: 1, startTime: 0, disks: [], frequencyHz: 1e9, seed: 1, vmxProfile: 'modern-1' },
        consoles: [console],
        boot: { kernel, kernelName: 'the kernel', commandLine: 'console=ttyS0 panic=-1 quiet', modules: [{ name: 'initrd', bytes: initrd, commandLine: '' }] },
        hypervisor: { bare, paging: 'multi-dimensional' },
        recorder,
      }); // prettier-ignore
      const lines: string[] = [];
      new EntryFailures(session, recorder, 'report', new LevelSymbols(undefined), (more) => lines.push(...more));
      const explain = recorder.onFailedEntry;
      const rips: number[] = [];
      recorder.onFailedEntry = (failed) => {
        rips.push(failed.rip);
        explain(failed);
      };
      while (session.end === undefined && session.ticks < 10 * SECONDS) session.run(session.ticks + SECONDS / 10);
      const said = Buffer.from(console.transcript).toString('latin1');

      assert.match(said, /KVM_RUN gave 0{16}\r?\n.*exit 0{15}9\r?\n.*failure reason 0{8}80000021/);
      assert.equal(rips.length, 1);
      assert.match(lines.join('\n'), /^VM entry failed: VMLAUNCH by L1 at (\w+)\+0x[0-9a-f]+ \[kvm_intel\] {2}\(instruction [\d,]+\)\n {2}rule {4}guest\.cs\.type — .*\n {2}field {3}GUEST_CS_AR_BYTES = 0x00000091\n {2}written VMWRITE at __vmx_set_segment\+0x[0-9a-f]+ \[kvm_intel\], [\d,]+ instructions earlier\n {2}field {3}CPU_BASED_VM_EXEC_CONTROL = 0x[0-9a-f]{8}\n {2}written VMWRITE at \w+\+0x[0-9a-f]+ \[kvm_intel\], [\d,]+ instructions earlier\n {2}field {3}SECONDARY_VM_EXEC_CONTROL = 0x[0-9a-f]{8}\n {2}written VMWRITE at \w+\+0x[0-9a-f]+ \[kvm_intel\], [\d,]+ instructions earlier\n {2}L1 sees exit reason 0x80000021, qualification 0$/); // prettier-ignore
      const [, name, offset] = /at (\w+)\+0x([0-9a-f]+) \[/.exec(lines[0]!)!;
      const address = BigInt(`0x${new RegExp(`^([0-9a-f]{16}) \\w ${name}\\t\\[kvm_intel\\]`, 'm').exec(said)?.[1]}`);
      assert.equal(address + BigInt(`0x${offset}`), BigInt.asUintN(64, BigInt(rips[0]!)), 'the guest names it so too');
    });
  }
});
