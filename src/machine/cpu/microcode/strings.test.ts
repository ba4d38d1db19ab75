// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { CR0, RFLAGS } from '../register-bits.ts';
import { RCX, RDI, RSI, STATE } from '../state.ts';
import { AT, Bench } from './privilege-bench.test.ts';

const MOVSB = [0xa4];
const MOVSD = [0xa5];
const REP_STOSD = [0xf3, 0xab];
const SCASW = [0x66, 0xaf];

/** What an instruction at level `cpl` with alignment checks comes to, with RSI and RDI so far from a page's begin. */
function outcome(code: readonly number[], from: number, to: number, cpl: 0 | 3 = 3): string {
  const bench = new Bench('long');
  const { cpu } = bench;
  bench.level(cpl);
  cpu.set32(STATE.cr0, cpu.cr0 | CR0.AM);
  cpu.rflags = cpu.rflags | RFLAGS.AC;
  cpu.modeChanged();
  cpu.setSigned(RSI * 8, AT.data + from);
  cpu.setSigned(RDI * 8, AT.data + 0x100 + to);
  cpu.setSigned(RCX * 8, 4);
  return bench.run(...code);
}

test('alignment is checked for the elements of strings', () => {
  assert.equal(outcome(MOVSD, 2, 0), '#AC(0)');
  assert.equal(outcome(MOVSD, 0, 2), '#AC(0)');
  assert.equal(outcome(MOVSD, 4, 8), 'ok');
  assert.equal(outcome(MOVSD, 2, 2, 0), 'ok');
  assert.equal(outcome(MOVSB, 1, 3), 'ok');
  assert.equal(outcome(REP_STOSD, 0, 1), '#AC(0)');
  assert.equal(outcome(SCASW, 0, 1), '#AC(0)');
});

test('an element that begins at a canonical address must end at one', () => {
  const bench = new Bench('long');
  bench.cpu.setSigned(RDI * 8, 0x7fff_ffff_fffe);
  assert.equal(bench.run(0xab), '#GP(0)', 'STOSD');
});
