// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { importSpecifiers } from './import-specifiers.ts';

// prettier-ignore
const CASES: readonly (readonly [source: string, specifiers: readonly string[]])[] = [
  [`import { a } from './a.ts';`,                              ['./a.ts']],
  [`import type { A } from "./a.ts";`,                         ['./a.ts']],
  [`import {\n  a,\n  type B,\n} from './a.ts';`,              ['./a.ts']],
  [`import * as a from './a.ts'; import { b } from './b.ts';`, ['./a.ts', './b.ts']],
  [`export { a } from './a.ts';\nexport * from './b.ts';`,     ['./a.ts', './b.ts']],
  [`import './a.ts';`,                                         ['./a.ts']],
  [`const a = await import('./a.ts');`,                        ['./a.ts']],
  [`type A = import('../machine/a.ts').A;`,                    ['../machine/a.ts']],
  [`const a = await import(name);`,                            ['name']],
  [`const a = require('node:fs');`,                            ['node:fs']],
  [`// import { a } from './a.ts';\n/* import './b.ts'; */`,   []],
  [`const url = 'http://x'; import('./a.ts'); // from './b.ts'`, ['./a.ts']],
  [`export const from = 'a';\nexport function f(): void {}`,   []],
];

describe('importSpecifiers', () => {
  for (const [source, specifiers] of CASES) {
    it(JSON.stringify(source), () => assert.deepEqual(importSpecifiers(source), specifiers));
  }
});
