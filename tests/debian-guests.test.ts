// SPDX-License-Identifier: Apache-2.0
// The guests of `npm start`, made from Debian's own packages with the machine's own apt.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCpio } from '../src/formats/cpio.ts';
import type { CpioEntry } from '../src/formats/cpio.ts';
import type { PreparedGuest } from '../src/images/build.ts';
import type { Manifest, ManifestFile } from '../src/images/manifest.ts';
import type { ImageHost } from '../src/images/ports.ts';
import { prepareGuest } from '../src/images/prepare.ts';
import { hypervisorGuest } from '../src/images/recipes.ts';
import { nodeImageHost } from '../src/platform/node/image-host.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const skip = existsSync('/usr/bin/apt-get') ? false : 'this machine has no apt';

describe("Debian's guests", { skip }, () => {
  let folder = '';
  let guest: PreparedGuest;
  let files: Map<string, CpioEntry>;
  // The platform's classes are the ports of images/: checked by this assignment.
  const host: ImageHost = nodeImageHost();

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'turtles-packages-'));
    guest = await prepareGuest(hypervisorGuest(), host);
    files = new Map(readCpio(guest.initrd).map((entry) => [entry.path, entry]));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** The file as dpkg's own tool unpacks it from the .deb, whose checksum is the one of apt's signed lists. */
  async function packagedFile(manifest: Manifest, { origin }: ManifestFile): Promise<Buffer> {
    assert.ok(origin.kind === 'package');
    const row = manifest.packages.find(({ name }) => name === origin.package)!;
    const name = `packages/${row.name}_${row.version.replaceAll(':', '%3a')}_${row.architecture}.deb`;
    const unpacked = join(folder, row.sha256);
    if (!existsSync(unpacked)) {
      assert.equal(sha256((await host.cache.read(name))!), row.sha256, name);
      execFileSync('dpkg-deb', ['-x', host.cache.path(name), unpacked]);
    }
    return readFileSync(join(unpacked, origin.path));
  }

  test('kernel, modules, QEMU and every other file are the bytes that are in the packages', async () => {
    const packaged = guest.manifest.files.filter(({ origin }) => origin.kind === 'package');
    for (const row of packaged) {
      const entry = files.get(row.path);
      assert.ok(entry?.kind === 'file', row.path);
      assert.ok(Buffer.from(entry.bytes).equals(await packagedFile(guest.manifest, row)), row.path);
    }
    assert.ok(Buffer.from(guest.kernel).equals(await packagedFile(guest.manifest, guest.manifest.kernel)));
    const paths = packaged.map(({ path }) => path);
    for (const wanted of [
      /\/kvm\.ko/,
      /\/kvm-intel\.ko/,
      /qemu-system-x86_64$/,
      /^guest\/kernel$/,
      /^bin\/busybox$/,
      /libc\.so\.6/,
    ]) {
      assert.ok(
        paths.some((path) => wanted.test(path)),
        String(wanted),
      );
    }
  });

  test('what is from no package is text of ours and the guest inside, whose files are checked in the same way', async () => {
    const others = guest.manifest.files.filter(({ origin }) => origin.kind !== 'package').map(({ path }) => path);
    for (const path of others)
      assert.match(path, /^(init|etc\/(passwd|turtles\/[a-z-]+)|guest\/(initrd|command-line))$/);
    const inner = guest.manifest.guests.guest!;
    const initrd = files.get('guest/initrd');
    assert.ok(initrd?.kind === 'file');
    for (const entry of readCpio(initrd.bytes)) {
      if (entry.kind !== 'file') continue;
      const row = inner.files.find(({ path }) => path === entry.path)!;
      const origin = row.origin.kind === 'package' ? await packagedFile(inner, row) : undefined;
      assert.equal(sha256(entry.bytes), origin ? sha256(origin) : row.sha256, entry.path);
    }
    assert.equal(inner.kernel.sha256, guest.manifest.kernel.sha256);
  });

  test('the second time no program is run, and it takes no time', async () => {
    const offline: ImageHost = { ...host, commands: { run: () => assert.fail('a program was run') } };
    const started = performance.now();
    const again = await prepareGuest(hypervisorGuest(), offline);
    assert.ok(performance.now() - started < 2000);
    assert.equal(sha256(again.initrd), sha256(guest.initrd));
  });
});
