// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compilationText } from './compilation.ts';
import { OTHER_THREADS, PROFILE_ROWS, profileRow, REST } from './profile-rows.ts';
import { profileTable, splitProfile } from './profile.ts';

const SOURCES = fileURLToPath(new URL('../', import.meta.url));
const sources = globSync('**/*.ts', { cwd: SOURCES }).filter((file) => !/\.(test|testing)\.ts$/.test(file));
const rowOf = (file: string, name = 'some', caller = file) => profileRow({ name, file, caller }).name;

describe('what processor time went into', () => {
  // prettier-ignore
  const PLACES: readonly [file: string, row: string][] = [
    ['decode/decoder.ts',                          'decode and translate'],
    ['decode/page-walk.ts',                        'walks, TLB and memory'],
    ['machine/cpu/translation/translator.ts',      'decode and translate'],
    ['machine/cpu/jit/jit.ts',                     'emit'],
    ['machine/cpu/jit/sampler.ts',                 'engine and run loop'],
    ['machine/cpu/jit/region-function.ts',         'emit'],
    ['machine/cpu/interpreter/lower.ts',           'emit'],
    ['machine/cpu/interpreter/engine.ts',          'engine and run loop'],
    ['machine/cpu/operations/alu.ts',              'emit'],
    ['machine/cpu/microcode/strings.ts',           'microcode'],
    ['machine/cpu/run-loop.ts',                    'engine and run loop'],
    ['machine/machine.ts',                         'engine and run loop'],
    ['machine/mmu/walk.ts',                        'walks, TLB and memory'],
    ['machine/vtx/entry.ts',                       'VT-x'],
    ['devices/uart.ts',                            'devices'],
    ['arch/vmx/entry-checks.ts',                   'VT-x'],
    ['arch/msrs.ts',                               'microcode'],
    ['l0/nested/enter-l2.ts',                      'L0'],
    ['cli/turtles.ts',                             REST],
    ['node:internal/modules/esm/loader',           REST],
    ['wasm://wasm/interpreter-0005c13a',           'interpreter'],
    ['wasm://wasm/operations-0005c13a',            'interpreter'],
    ['wasm://wasm/regions-d9488676',               'compiled regions'],
    ['wasm://wasm/runtime-062c12ce',               'compiled regions'],
    ['wasm://wasm/memory-062c12ce',                'walks, TLB and memory'],
  ];
  for (const [file, row] of PLACES) it(`${file}: ${row}`, () => assert.equal(rowOf(file), row));

  it('what is called while code runs is no part of making it, in sources and in compiled files', () => {
    for (const suffix of ['ts', 'js']) {
      const jit = `machine/cpu/jit/jit.${suffix}`;
      assert.equal(rowOf(jit, 'regionMicrocode'), 'engine and run loop');
      assert.equal(rowOf(jit, 'compile'), 'emit');
      const translator = `machine/cpu/translation/translator.${suffix}`;
      assert.equal(rowOf(`machine/cpu/translation/block-store.${suffix}`, 'find'), 'engine and run loop');
      assert.equal(rowOf(translator, 'translate'), 'decode and translate');
    }
  });

  it("the host's own functions have a row, or are their caller's", () => {
    const jit = 'machine/cpu/jit/jit.ts';
    assert.equal(rowOf('', 'Module', jit), 'compile, main thread');
    assert.equal(rowOf('', 'Instance', jit), 'compile, main thread');
    assert.equal(rowOf('', 'Module', 'node:internal/deps/amaro/dist/index'), REST, "Node's own module");
    assert.equal(rowOf(jit, 'Module'), 'emit', 'a function of ours with that name');
    assert.equal(rowOf('', 'wasm-to-js', 'wasm://wasm/regions-d9488676'), 'compiled regions');
    assert.equal(rowOf('', '(garbage collector)', ''), 'garbage collection');
    assert.equal(rowOf('', '(program)', ''), REST);
  });

  it('each file of the machine, its devices and L0 is more than the rest, and each beginning is that of something', () => {
    const ours = sources.filter((file) => /^(decode|devices|machine|l0)\//.test(file));
    assert.ok(ours.length > 200);
    for (const file of ours) assert.notEqual(rowOf(file), REST, file);
    const beginnings = PROFILE_ROWS.flatMap(({ places }) => places).filter((start) => !start.startsWith('wasm:'));
    for (const start of beginnings) {
      const [path, name] = start.split('#') as [string, string?];
      const file = sources.find((candidate) => candidate.startsWith(name === undefined ? path : `${path}.ts`));
      assert.ok(file, start);
      assert.match(readFileSync(`${SOURCES}${file}`, 'utf8'), new RegExp(name ? `\\b${name}\\b` : ''), start);
    }
  });
});

describe('a profile', () => {
  const place = (file: string, microseconds: number) => ({ name: 'f', file, caller: file, microseconds });
  const source = {
    before: 0.25,
    mainThread: 2,
    otherThreads: 0.75,
    functions: [
      place('wasm://wasm/interpreter-1', 3e6),
      place('wasm://wasm/interpreter-2', 2e6),
      place('devices/uart.ts', 2e6),
      place('cli/run.ts', 1e6),
    ],
  };

  it('shares the processor time of the main thread by samples, and loses nothing', () => {
    const split = splitProfile(source);
    const of = (row: string) => split.get(row);
    assert.deepEqual([of('interpreter'), of('devices'), of(REST), of(OTHER_THREADS)], [1.25, 0.5, 0.5, 0.75]);
    assert.equal(
      [...split.values()].reduce((a, b) => a + b),
      3,
    );
    const none = splitProfile({ ...source, functions: [] });
    assert.equal(
      [...none.values()].reduce((a, b) => a + b),
      3,
      'without a sample',
    );
  });

  it('is a table of all rows, with the sum', () => {
    const lines = profileTable(splitProfile(source)).split('\n');
    assert.deepEqual(lines.slice(2, 2 + PROFILE_ROWS.length).map((line) => line.split(/ {2,}/)[0]), PROFILE_ROWS.map(({ name }) => name)); // prettier-ignore
    assert.ok(lines.includes(`interpreter                         1.25  41.7 %  ${'█'.repeat(40)}`), lines.join('\n'));
    assert.ok(lines.includes(`devices                             0.50  16.7 %  ${'█'.repeat(16)}`));
    assert.ok(lines.includes('VT-x                                0.00   0.0 %'));
    assert.ok(lines.includes('total                               3.00 100.0 %'));
  });
});

describe('what was compiled', () => {
  const counts = { mode: 'on', regions: 1234, recompiled: 2, instructions: 50000, modules: 200, bytes: 1e6, dropped: 7, emitMs: 1250, compileMs: 300, samples: 300, samplesInRegions: 100 } as const; // prettier-ignore

  it('is counted', () => {
    assert.equal(
      compilationText(counts),
      "guests' code compiled (--jit on): 1,234 regions of 50,000 instructions, 7 dropped, 2 compiled again; 25.0 % of 400 samples in regions\n200 modules of 1,000,000 bytes: emitted in 1.25 s, given to V8 in 0.30 s",
    );
  });

  it('may be nothing, or never sampled', () => {
    assert.equal(compilationText({ ...counts, mode: 'off' }), "guests' code compiled: none (--jit off)");
    assert.match(compilationText({ ...counts, samples: 0, samplesInRegions: 0 }), /; no samples\n/);
  });
});
