// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Commands } from './commands.ts';

const node = (code: string, onLine?: (line: string) => void) =>
  new Commands().run(process.execPath, ['-e', code], '/', onLine);

test('status, both outputs, lines as they come, the folder, the language', async () => {
  const lines: string[] = [];
  const result = await node(
    'console.log("a\\nb", process.env.LC_ALL, process.cwd()); console.error("c"); process.exitCode = 3',
    (line) => lines.push(line),
  );
  assert.deepEqual(result, { status: 3, stdout: 'a\nb C /\n', stderr: 'c\n' });
  assert.deepEqual(lines, ['a', 'b C /']);
});

test('a program that is not there has no status; one that a signal ends does not look like success', async () => {
  assert.equal((await new Commands().run('no-such-program', [], '/')).status, undefined);
  assert.ok((await node('process.kill(process.pid, "SIGKILL"); setTimeout(() => {}, 9999)')).status! >= 128);
});
