// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../base/errors.ts';
import { readCpio } from '../formats/cpio.ts';
import { elf, fakeHost, kernelModule, sha256 } from './fake-debian.test.ts';
import type { FakeHost, FakePackage } from './fake-debian.test.ts';
import { prepareGuest } from './prepare.ts';
import type { Recipe } from './recipe.ts';

const MODULES = 'lib/modules/6.1/kernel';
const KERNEL: FakePackage = {
  name: 'linux-image-6.1-cloud',
  version: '6.1-1',
  section: 'kernel',
  files: {
    'boot/vmlinuz-6.1': Buffer.from('a kernel'),
    [`${MODULES}/kvm-intel.ko`]: kernelModule('kvm'),
    [`${MODULES}/kvm.ko`]: kernelModule('irqbypass'),
    [`${MODULES}/irqbypass.ko`]: kernelModule(''),
    [`${MODULES}/other.ko`]: kernelModule(''),
  },
};
const PACKAGES: FakePackage[] = [
  { name: 'linux-image-cloud', section: 'kernel', depends: KERNEL.name },
  KERNEL,
  {
    name: 'qemu',
    version: '1:7',
    section: 'otherosfs',
    depends: 'liba1, tool',
    files: { 'usr/bin/qemu': elf(['liba.so.1'], '/lib64/ld.so') },
  },
  {
    name: 'liba1',
    depends: 'libc6',
    files: {
      'usr/lib/x86_64-linux-gnu/liba.so.1': '-> liba.so.1.2',
      'usr/lib/x86_64-linux-gnu/liba.so.1.2': elf(['libc.so.6']),
    },
  },
  {
    name: 'libc6',
    files: { 'lib/x86_64-linux-gnu/libc.so.6': elf([]), 'usr/lib64/ld.so': '-> /lib/x86_64-linux-gnu/libc.so.6' },
  },
  { name: 'tool', section: 'admin', files: { 'usr/bin/tool': Buffer.from('t') } },
];
const INNER: Recipe = {
  name: 'inner',
  kernelPackage: 'linux-image-cloud',
  commandLine: [{ word: 'quiet', reason: 'a test' }],
  contents: [{ kind: 'script', path: 'init', script: 'init.sh' }],
};
const OUTER: Recipe = {
  name: 'outer',
  kernelPackage: 'linux-image-cloud',
  commandLine: [
    { word: 'console=ttyS0', reason: 'a test' },
    { word: 'panic=-1', reason: 'a test' },
  ],
  contents: [
    { kind: 'modules', names: ['kvm_intel'], list: 'etc/modules' },
    { kind: 'program', package: 'qemu', from: 'usr/bin/qemu' },
    { kind: 'guest', path: 'guest', recipe: INNER },
  ],
};

function fileIn(initrd: Uint8Array, path: string): string {
  const entry = readCpio(initrd).find((row) => row.path === path);
  assert.ok(entry?.kind === 'file', `${path} is a file`);
  return Buffer.from(entry.bytes).toString();
}

async function userError(work: Promise<unknown>): Promise<UserError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof UserError, `a UserError, not ${String(error)}`);
  return error;
}

const downloads = (host: FakeHost) => host.commands.asked.filter((line) => line.includes(' download '));

test('a guest holds the program with its libraries, the modules in loading order, and the guest inside', async () => {
  const guest = await prepareGuest(OUTER, fakeHost(PACKAGES));
  assert.equal(guest.commandLine, 'console=ttyS0 panic=-1');
  assert.equal(Buffer.from(guest.kernel).toString(), 'a kernel');
  const kinds = Object.fromEntries(
    readCpio(guest.initrd)
      .filter((row) => row.kind !== 'directory')
      .map((row) => [row.path, row.kind]),
  );
  assert.deepEqual(kinds, {
    'etc/modules': 'file',
    'guest/command-line': 'file',
    'guest/initrd': 'file',
    'guest/kernel': 'file',
    'lib/x86_64-linux-gnu/libc.so.6': 'file',
    'lib64/ld.so': 'symlink',
    'lib/modules/6.1/kernel/irqbypass.ko': 'file',
    'lib/modules/6.1/kernel/kvm-intel.ko': 'file',
    'lib/modules/6.1/kernel/kvm.ko': 'file',
    'usr/bin/qemu': 'file',
    'usr/lib/x86_64-linux-gnu/liba.so.1': 'symlink',
    'usr/lib/x86_64-linux-gnu/liba.so.1.2': 'file',
  });
  assert.equal(
    fileIn(guest.initrd, 'etc/modules'),
    ['irqbypass', 'kvm', 'kvm-intel'].map((name) => `/${MODULES}/${name}.ko\n`).join(''),
  );
  assert.equal(fileIn(guest.initrd, 'guest/command-line'), 'quiet\n');
  assert.equal(fileIn(guest.initrd, 'guest/kernel'), 'a kernel');
});

test('the manifest says of every file which package it is from, and its checksum', async () => {
  const { initrd, manifest } = await prepareGuest(OUTER, fakeHost(PACKAGES));
  for (const entry of readCpio(initrd)) {
    if (entry.kind !== 'file') continue;
    const row = manifest.files.find(({ path }) => path === entry.path);
    assert.equal(row?.sha256, sha256(entry.bytes), entry.path);
  }
  assert.deepEqual(manifest.files.find(({ path }) => path === 'usr/bin/qemu')!.origin, {
    kind: 'package',
    package: 'qemu',
    version: '1:7',
    path: 'usr/bin/qemu',
  });
  assert.deepEqual(
    manifest.packages.map(({ name }) => name),
    ['liba1', 'libc6', KERNEL.name, 'qemu'],
  );
  assert.equal(manifest.guests.guest!.recipe, 'inner');
});

test('with a warm cache no program is run; with two cold ones the bytes are the same', async () => {
  const host = fakeHost(PACKAGES);
  const first = await prepareGuest(OUTER, host);
  const asked = host.commands.asked.length;
  const second = await prepareGuest(OUTER, host);
  assert.equal(host.commands.asked.length, asked);
  assert.deepEqual(second, first);
  assert.deepEqual(await prepareGuest(OUTER, fakeHost(PACKAGES)), first);
});

test('another recipe, script or package version is another entry', async () => {
  const host = fakeHost(PACKAGES);
  await prepareGuest(INNER, host);
  const entries = () =>
    new Set(
      [...host.cache.files.keys()].filter((name) => name.startsWith('images/')).map((name) => name.split('/')[1]),
    );
  await prepareGuest({ ...INNER, contents: [...INNER.contents, { kind: 'text', path: 'x', text: 'y' }] }, host);
  assert.equal(entries().size, 2);
  await prepareGuest(INNER, { ...host, scripts: { read: async () => Buffer.from('#!/bin/sh\nother\n') } });
  assert.equal(entries().size, 3);
  host.commands.packages = PACKAGES.map((row) => (row.name === KERNEL.name ? { ...KERNEL, version: '6.1-2' } : row));
  await prepareGuest(INNER, host);
  assert.equal(entries().size, 3);
  const { manifest } = await prepareGuest(INNER, host, { refresh: true });
  assert.equal(entries().size, 4);
  assert.equal(manifest.packages[0]!.version, '6.1-2');
});

test('packages that are no libraries are downloaded only when a library is missing', async () => {
  const host = fakeHost(PACKAGES);
  await prepareGuest(OUTER, host);
  assert.ok(!downloads(host).some((line) => line.includes('tool=')));
  const moved = PACKAGES.map((row) => (row.name === 'liba1' ? { ...row, section: 'misc' } : row));
  const other = fakeHost(moved);
  await prepareGuest(OUTER, other);
  assert.ok(downloads(other).some((line) => line.includes('tool=') && line.includes('liba1=')));
});

test('a damaged entry is built again, from the packages that are there', async () => {
  for (const damaged of ['kernel', 'initrd', 'manifest.json', 'checksums.json']) {
    const host = fakeHost(PACKAGES);
    const first = await prepareGuest(INNER, host);
    const name = [...host.cache.files.keys()].find((key) => key.endsWith(`/${damaged}`))!;
    host.cache.files.set(name, Buffer.from('{broken'));
    const before = downloads(host).length;
    assert.deepEqual(await prepareGuest(INNER, host), first);
    assert.match(host.notices.join(), /\/cache\/images\/\w+ has a wrong checksum: building it again/);
    assert.equal(downloads(host).length, before);
  }
});

test('a damaged package is downloaded again', async () => {
  const host = fakeHost(PACKAGES);
  const first = await prepareGuest(INNER, host);
  const name = `packages/${KERNEL.name}_6.1-1_amd64.deb`;
  host.cache.files.set(name, host.cache.files.get(name)!.subarray(0, 100));
  await host.cache.remove('images');
  assert.deepEqual(await prepareGuest(INNER, host), first);
  assert.match(host.notices.join(), /_amd64.deb has a wrong checksum: downloading it again/);
});

test('a build that fails half-way leaves nothing that is used', async () => {
  const host = fakeHost(PACKAGES);
  host.cache.failingWrite = true;
  assert.match((await userError(prepareGuest(INNER, host))).message, /disk is full/);
  host.cache.failingWrite = false;
  assert.deepEqual(await prepareGuest(INNER, host), await prepareGuest(INNER, fakeHost(PACKAGES)));
});

// prettier-ignore
const FAILURES: readonly [what: string, args: string, status: number | undefined, stderr: string, message: RegExp][] = [
  ['no apt',            'update',   undefined, '',                                                        /has no apt-get/],
  ['no keys',           'update',   100,       'E: The repository is not signed.\n',                      /get the package lists.*is not signed\./],
  ['mirror unreachable','download', 100,       'W: note\nE: Failed to fetch x  Could not resolve host\n', /download linux-image-6.1-cloud.*Failed to fetch x {2}Could not resolve host\./],
  ['full disk',         'download', 100,       'E: Write error - write (28: No space left on device)\n',  /disk with \/cache\/ is full/],
];

for (const [what, args, status, stderr, message] of FAILURES) {
  test(`bad luck: ${what}`, async () => {
    const host = fakeHost(PACKAGES);
    host.commands.failures.set(args, { status, stdout: '', stderr });
    const error = await userError(prepareGuest(INNER, host));
    assert.match(error.message, message);
    assert.match(error.hint, what === 'full disk' ? /XDG_CACHE_HOME/ : /--kernel FILE and --initrd FILE/);
  });
}

test('a package that is not there, with what the update complained about', async () => {
  const host = fakeHost(PACKAGES);
  host.commands.failures.set('update', { status: 0, stdout: '', stderr: 'W: Failed to fetch the lists\n' });
  const error = await userError(prepareGuest({ ...INNER, kernelPackage: 'linux-image-none' }, host));
  assert.match(error.message, /look up the packages linux-image-none.*No packages found.*Failed to fetch the lists/);
});

test('packages without what the recipe takes from them', async () => {
  const cases: [Recipe, RegExp][] = [
    [{ ...INNER, kernelPackage: 'libc6' }, /libc6 holds no kernel/],
    [
      { ...INNER, contents: [{ kind: 'file', path: 'a', package: 'tool', from: 'usr/bin/none' }] },
      /tool has no file \/usr\/bin\/none/,
    ],
    [
      { ...INNER, contents: [{ kind: 'program', package: 'tool', from: 'usr/bin/none' }] },
      /tool has no file \/usr\/bin\/none/,
    ],
    [{ ...INNER, contents: [{ kind: 'modules', names: ['nfs'], list: 'x' }] }, /no module nfs/],
  ];
  for (const [recipe, message] of cases)
    assert.match((await userError(prepareGuest(recipe, fakeHost(PACKAGES)))).message, message);
  const broken = PACKAGES.map((row) =>
    row.name === 'qemu' ? { ...row, files: { 'usr/bin/qemu': elf(['libz.so']) } } : row,
  );
  assert.match(
    (await userError(prepareGuest(OUTER, fakeHost(broken)))).message,
    /libz\.so, which usr\/bin\/qemu needs/,
  );
});
