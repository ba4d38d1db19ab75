// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dependencyNames, readDeb822 } from './deb822.ts';

test('paragraphs, comments and continuation lines', () => {
  const paragraphs = readDeb822(
    'Package: a\nDescription: short\n long\n .\n more\n\n# note\nPackage: b\nDepends:\n c\n',
  );
  assert.deepEqual(
    paragraphs.map((fields) => Object.fromEntries(fields)),
    [
      { Package: 'a', Description: 'short\nlong\n.\nmore' },
      { Package: 'b', Depends: '\nc' },
    ],
  );
  assert.throws(() => readDeb822('no field here'), /no field in the line/);
});

test('dependencies: versions, architectures and alternatives left out', () => {
  assert.deepEqual(dependencyNames('libc6 (>= 2.34), a:any | b, c(<< 1), d [amd64]'), ['libc6', 'a', 'c', 'd']);
  assert.deepEqual(dependencyNames(undefined), []);
});
