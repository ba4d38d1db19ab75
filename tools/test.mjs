// SPDX-License-Identifier: Apache-2.0

// Everything `npm test` does, as a table of steps. `node tools/test.mjs STEP...` runs the named ones only.
// All steps run even if one fails; the exit status is 0 only if none did.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import toolchain from './toolchain.cjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = toolchain.nodeForSources(root);

/** Test files below a folder, sorted, relative to the root. */
function testFiles(folder, isWanted = () => true) {
  let names;
  try {
    names = readdirSync(join(root, folder), { recursive: true });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  return names
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith('.test.ts') && isWanted(name))
    .sort();
}

const inBoot = (name) => name.startsWith(join('tests', 'boot'));
const units = [...testFiles('src'), ...testFiles('bench'), ...testFiles('tests', (name) => !inBoot(name))];
const boots = testFiles(join('tests', 'boot'));
const reporter = ['--test', '--test-reporter=./tools/test-reporter.mjs'];
const together = [...reporter, '--test-isolation=none', '--test-timeout=120000'];

// What executes guest code, once more with all of it compiled and with none. The tests of the JIT say themselves what is
// compiled, and need that only once; the comparison of L0 with the machine has its own table, and is long.
const saysItself = (name) => /^(jit[-.]|interrupt-windows|exit-reasons|bit-errors)/.test(basename(name));
const machines = ['src/machine', 'tests/machine', 'tests/nested'].flatMap((folder) =>
  testFiles(folder, (name) => !saysItself(name)),
);
const vectors = join('tests', 'oracle', 'cpu.test.ts');
const withJit = (mode, files) => ({
  run: ['--import=./tests/jit-mode.mjs', ...together, ...files],
  variables: { TURTLES_TEST_JIT: mode },
});

// Hundreds of small files share one process (a process each would take longer than the tests); a machine that boots
// gets its own, two at a time.
// prettier-ignore
const STEPS = [
  { name: 'types',      says: 'types, folder by folder: who may import whom', run: ['typescript/bin/tsc', '-b'] },
  { name: 'test-types', says: 'types, with tests and tools',                  run: ['typescript/bin/tsc', '-p', 'tsconfig.test.json'] },
  { name: 'lint',       says: 'lint',                                         run: ['oxlint/bin/oxlint', '--deny-warnings'] },
  { name: 'format',     says: 'format',                                       run: ['oxfmt/bin/oxfmt', '--check'] },
  { name: 'unit',       says: `unit tests, ${units.length} files`,            run: [...together, ...units], empty: units.length === 0 },
  { name: 'unit-eager', says: `the same with all code compiled, ${machines.length + 1} files`, ...withJit('eager', [...machines, vectors]) },
  { name: 'unit-off',   says: `the same with no code compiled, ${machines.length} files`,      ...withJit('off', machines) },
  { name: 'boot',       says: `machines that boot, ${boots.length} files`,    run: [...reporter, '--test-concurrency=2', '--test-timeout=900000', ...boots], empty: boots.length === 0 },
];

function main(wanted) {
  const unknown = wanted.find((name) => STEPS.every((step) => step.name !== name));
  if (unknown !== undefined)
    return stop(`no step is called ${unknown}; there are ${STEPS.map((step) => step.name).join(', ')}`);
  if (node === null || !toolchain.isInstalled(root))
    return stop('dependencies are not installed as the lockfile says; run `npm test` or `node tools/install.mjs`');
  const failed = STEPS.filter((step) => wanted.length === 0 || wanted.includes(step.name)).filter(
    (step) => !passes(step),
  );
  console.log(failed.length === 0 ? '\nall steps passed' : `\nFAILED: ${failed.map((step) => step.name).join(', ')}`);
  return failed.length === 0 ? 0 : 1;
}

function stop(sentence) {
  console.error(`turtles: ${sentence}`);
  return 2;
}

/** Runs one step and says how it went. A step without files did not run, and is not counted as passed. */
function passes(step) {
  if (step.empty) {
    console.log(`== ${step.says}: nothing to run`);
    return step.name !== 'unit';
  }
  console.log(`== ${step.says}`);
  const began = Date.now();
  const [first, ...rest] = step.run;
  const args = first.startsWith('--') ? [first, ...rest] : [join(root, 'node_modules', first), ...rest];
  const done = spawnSync(node, args, { cwd: root, stdio: 'inherit', env: environment(step.variables) });
  if (done.error) throw done.error;
  const ok = done.status === 0;
  console.log(`== ${step.name}: ${ok ? 'ok' : 'FAILED'}, ${((Date.now() - began) / 1000).toFixed(1)} s`);
  return ok;
}

/** Children that say `node` get the pinned one too. */
function environment(variables) {
  return { ...process.env, ...variables, PATH: [dirname(node), process.env.PATH].join(delimiter) };
}

process.exitCode = main(process.argv.slice(2));
