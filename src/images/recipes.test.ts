// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  DEBIAN,
  hypervisorGuest,
  innerGuest,
  MARKERS,
  plainGuest,
  QEMU_WORDS,
  SELF_CHECK_SHA256,
  BATCH_WORD,
} from './recipes.ts';

const script = (name: string) => readFileSync(new URL(`../../guests/${name}`, import.meta.url), 'utf8');
const SCRIPTS = script('init.sh') + script('hypervisor-init.sh');

test('the sum of the self-check is that of 16 MiB of the line "turtles"', () => {
  const lines = Buffer.alloc(16 << 20, 'turtles\n');
  assert.equal(createHash('sha256').update(lines).digest('hex'), SELF_CHECK_SHA256);
});

test('the scripts print every marker and know the batch word', () => {
  for (const marker of Object.values(MARKERS)) assert.ok(SCRIPTS.includes(marker), marker);
  assert.ok(SCRIPTS.includes(` ${BATCH_WORD} `));
});

test('no guest is told to leave out mitigations, and every word has its reason', () => {
  for (const { commandLine } of [plainGuest(), innerGuest(), hypervisorGuest()]) {
    assert.ok(!commandLine.some(({ word }) => /mitigations|spectre|pti/.test(word)));
    assert.ok(commandLine.every(({ reason }) => reason.length > 10));
  }
  assert.ok(QEMU_WORDS.every(({ reason }) => reason.length > 10));
});

test('the choice of packages decides what the recipes take', () => {
  const other = { ...DEBIAN, kernel: 'linux-image-amd64', qemu: 'qemu-x', qemuProgram: 'opt/qemu' };
  const text = JSON.stringify(hypervisorGuest(other));
  for (const name of [DEBIAN.kernel, `"${DEBIAN.qemu}"`, DEBIAN.qemuProgram]) assert.ok(!text.includes(name), name);
  for (const name of Object.values(other)) assert.ok(text.includes(name), name);
});
