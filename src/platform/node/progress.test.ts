// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAmount, ProgressReporter } from './progress.ts';

function reporter(isTerminal: boolean) {
  const shown: string[] = [];
  const clock = { time: 0 };
  return {
    shown,
    clock,
    progress: new ProgressReporter({ write: (text) => shown.push(text), isTerminal, now: () => clock.time }),
  };
}

test('nothing for two seconds, then the stage and how far it is, on one line of a terminal', () => {
  const { shown, clock, progress } = reporter(true);
  progress.stage('downloading');
  clock.time = 1900;
  progress.amount(1, 4, 'packages');
  assert.deepEqual(shown, []);
  clock.time = 2100;
  progress.amount(2, 4, 'packages');
  clock.time = 2150;
  progress.amount(3, 4, 'packages');
  clock.time = 2250;
  progress.amount(3, 4, 'packages');
  progress.done();
  assert.deepEqual(shown, [
    '\r\u001b[Kturtles: downloading: 2 of 4 packages',
    '\r\u001b[Kturtles: downloading: 3 of 4 packages',
    '\r\u001b[K',
  ]);
});

test('elsewhere whole lines, at most one in five seconds besides beginnings and ends; notices at once', () => {
  const { shown, clock, progress } = reporter(false);
  progress.notice('look');
  progress.stage('a');
  clock.time = 3000;
  progress.stage('b');
  progress.amount(1, 10, 'bytes');
  clock.time = 8100;
  progress.amount(5, 10, 'files');
  progress.amount(10, 10, 'files');
  assert.deepEqual(shown, [
    'turtles: look\n',
    'turtles: b\n',
    'turtles: b: 5 of 10 files\n',
    'turtles: b: 10 of 10 files\n',
  ]);
});

test('amounts', () => {
  assert.equal(describeAmount(12_340_000, 61_000_000, 'bytes'), '12.3 of 61.0 MB (20 %)');
  assert.equal(describeAmount(0, 0, 'bytes'), '0.0 of 0.0 MB (100 %)');
});
