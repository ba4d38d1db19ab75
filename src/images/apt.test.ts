// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archiveNames, configuration, downloadPercent, indexTargets } from './apt.ts';

test('what apt prints: archives with escaped epochs, download status, index targets', () => {
  const lines = "'http://x/a_1.deb' a_1%3a2.0-1+b1_amd64.deb 100 MD5Sum:0\nnoise\n'file:/b' libb_3~x_all.deb 5 \n";
  assert.deepEqual(archiveNames(lines), [
    { name: 'a', version: '1:2.0-1+b1' },
    { name: 'libb', version: '3~x' },
  ]);
  assert.equal(downloadPercent('dlstatus:3:41.5:Retrieving file 3 of 4'), 41.5);
  assert.equal(downloadPercent('Get:1 a [1 kB]'), undefined);
  const dump = [
    'Acquire::IndexTargets::deb::Packages::MetaKey "x";',
    'Acquire::IndexTargets::deb::DEP-11::MetaKey "y";',
    'Acquire::IndexTargets::deb::DEP-11::ShortDescription "y";',
    'Acquire::IndexTargets::deb-src::Sources::MetaKey "z";',
  ].join('\n');
  assert.deepEqual(indexTargets(dump), ['deb::DEP-11', 'deb-src::Sources']);
});

test('the configuration keeps all state in our folder and switches the other targets off', () => {
  const text = configuration('/cache/apt', ['deb::DEP-11']);
  for (const [, path] of text.matchAll(/^Dir::\S+ "(\/[^"]*)";/gm)) assert.ok(path!.startsWith('/cache/apt/'), path);
  assert.match(text, /^Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";$/m);
});
