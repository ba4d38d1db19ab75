// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { readFinding, runAlone } from './findings.ts';
import { generate } from './generate.ts';
import { CONFIGURATIONS } from './program.ts';

const SEED = 5;

/** What becomes of a process that begins a program, and then does this. */
function run(out: string, then: string) {
  const script = join(out, 'script.mjs');
  const source = `import { Watchdog } from '${new URL('./watchdog.ts', import.meta.url).href}';
    const watchdog = new Watchdog(0.4, ${JSON.stringify(out)});
    watchdog.begin(${JSON.stringify(CONFIGURATIONS[1])}, ${SEED});
    ${then}`;
  writeFileSync(script, source);
  return spawnSync(process.execPath, [script], { encoding: 'utf8', timeout: 60_000 });
}

describe('the watchdog', () => {
  let out: string;
  beforeEach(() => (out = mkdtempSync(join(tmpdir(), 'turtles-watchdog-'))));
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  it('a loop without any access ends the process, and leaves the program', () => {
    const { signal, stdout, stderr } = run(out, 'for (;;);');
    assert.equal(signal, 'SIGKILL', stderr);
    const path = /--replay (\S+)/.exec(stdout)?.[1];
    assert.ok(path !== undefined, stdout);
    const { program, difference } = readFinding(path);
    assert.match(difference, /more than 0.4 s/);
    assert.deepEqual(program, generate(CONFIGURATIONS[1], SEED));
    assert.equal(runAlone(program), undefined);
  });

  it('between programs time does not count, and who ends is let go', () => {
    const { status, signal, stderr } = run(
      out,
      'watchdog.rest(); for (const from = Date.now(); Date.now() < from + 1500; );',
    );
    assert.deepEqual([status, signal], [0, null], stderr);
  });
});
