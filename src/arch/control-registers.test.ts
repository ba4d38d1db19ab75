// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR0_BITS, CR4_ROWS, cr0Failure, cr4Failure, cr4Writable, normalizedCr0 } from './control-registers.ts';
import type { ControlContext } from './control-registers.ts';
import { CpuidModel } from './cpuid.ts';
import { BASE_CPU_CR4 } from './vmx/profiles.ts';

const { PE, PG, NW, CD, ET } = CR0_BITS;
const PAE = 0x20;
const PCIDE = 0x20000;
const { features } = new CpuidModel({ frequencyHz: 1e9, crystalHz: 1e9, processors: 1, physicalAddressBits: 39 });
const base: ControlContext = { cr0: PE | ET, cr4: 0, cr3: 0, lme: false, lma: false, longCode: false, tss16: false };
const long: ControlContext = { ...base, cr0: PE | PG | ET, cr4: PAE, lme: true, lma: true, longCode: true };

test('the bits of CR4 are those that VMX fixes to "may be 1"', () => {
  assert.deepEqual(Object.fromEntries(CR4_ROWS.map(([name, bit]) => [name, 1 << bit])), BASE_CPU_CR4);
  assert.equal(
    cr4Writable(features),
    Object.values(BASE_CPU_CR4).reduce((all, bit) => all | bit, 0),
  );
  assert.equal(cr4Writable(new Set([...features].filter((name) => name !== 'SMAP'))) & (1 << 21), 0);
});

test('CR0: reserved bits are ignored and ET is fixed', () => {
  assert.equal(normalizedCr0(0), ET);
  assert.equal(normalizedCr0(-1) >>> 0, 0xe005003f);
});

test('CR0: combinations and transitions', () => {
  const ok = (value: number, context: ControlContext): boolean =>
    cr0Failure(normalizedCr0(value), context) === undefined;
  assert.ok(ok(PE, base));
  assert.ok(!ok(PG, base), 'paging without protection');
  assert.ok(!ok(PE | NW, base), 'NW without CD');
  assert.ok(ok(PE | NW | CD, base));
  assert.ok(ok(PE | PG, base));
  assert.ok(!ok(PE | PG, { ...base, lme: true }), 'IA-32e mode without PAE');
  assert.ok(ok(PE | PG, { ...base, lme: true, cr4: PAE }));
  assert.ok(!ok(PE | PG, { ...base, lme: true, cr4: PAE, longCode: true }));
  assert.ok(!ok(PE | PG, { ...base, lme: true, cr4: PAE, tss16: true }));
  assert.ok(!ok(PE, long), 'leaving paging in 64-bit code');
  assert.ok(ok(PE, { ...long, longCode: false }));
  assert.ok(!ok(PE, { ...long, longCode: false, cr4: PAE | PCIDE }));
  assert.ok(ok(PE | PG, { ...long, tss16: true }), 'no transition, no check');
});

test('CR4: reserved bits, PAE and PCIDE', () => {
  const ok = (value: number, context: ControlContext): boolean =>
    cr4Failure(value, cr4Writable(features), context) === undefined;
  assert.ok(ok(PAE, base));
  for (const bit of [12, 14, 15, 19, 22, 23, 24, 25, 31]) assert.ok(!ok(PAE | (1 << bit), long), `bit ${bit}`);
  assert.ok(!ok(0, long));
  assert.ok(!ok(PCIDE, base), 'outside IA-32e mode');
  assert.ok(ok(PAE | PCIDE, long));
  assert.ok(!ok(PAE | PCIDE, { ...long, cr3: 0x1001 }));
  assert.ok(ok(PAE | PCIDE, { ...long, cr4: PAE | PCIDE, cr3: 0x1001 }), 'already set');
});
