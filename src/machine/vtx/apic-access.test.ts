// SPDX-License-Identifier: Apache-2.0
// The APIC-access page and the virtual task priority.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { RAX } from '../cpu/state.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();

describe('the APIC-access page', () => {
  const withPage = (): VmxBench => bench.reset().secondary(SECONDARY.VIRTUALIZE_APIC_ACCESSES);
  const load = (offset: number): string =>
    `8b 04 25 ${(offset & 0xff).toString(16)} ${(0x70 | (offset >> 8)).toString(16)} 00 00`;
  const store = (offset: number): string =>
    `89 04 25 ${(offset & 0xff).toString(16)} ${(0x70 | (offset >> 8)).toString(16)} 00 00`;

  it('reads, writes and fetches exit with offset and type', () => {
    assert.equal(withPage().launch(load(0x20)), 'APIC_ACCESS');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0x20);
    assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), 7);
    assert.equal(withPage().launch(store(0xb0)), 'APIC_ACCESS');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0xb0 | (1 << 12));
    assert.equal(withPage().launch('b8 00 70 00 00 ff e0'), 'APIC_ACCESS');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 2 << 12);
  });
  it('is ordinary memory to the host, and to a guest without the control', () => {
    bench.reset().poke64(AT.apicAccess + 0x20, 0x55);
    assert.equal(bench.launch(`${load(0x20)} 0f a2`), 'CPUID');
    assert.equal(bench.cpu.reg32(RAX), 0x55);
  });
  it('a stack there: the delivery of an event is its own type', () => {
    withPage().set('GUEST_RSP', AT.apicAccess + 0x800);
    assert.equal(bench.launch('0f 0b'), 'APIC_ACCESS');
    assert.equal(bench.get('EXIT_QUALIFICATION') >>> 12, 3);
    assert.equal(bench.get('IDT_VECTORING_INFO_FIELD'), 0x80000306);
  });
  it('TPR is virtual with a TPR shadow, and nothing of it is cached', () => {
    withPage().primary(PRIMARY.USE_TPR_SHADOW);
    bench.poke(AT.virtualApic + 0x80, [0x60]);
    assert.equal(bench.launch(`${load(0x80)} 89 c1 b8 40 00 00 00 ${store(0x80)} ${load(0x20)}`), 'APIC_ACCESS');
    assert.equal(bench.cpu.reg32(1), 0x60);
    assert.equal(bench.peek64(AT.virtualApic + 0x80) & 0xffffffffn, 0x40n);
    assert.equal(bench.peek64(AT.apicAccess + 0x80), 0n);
    assert.equal(bench.get('EXIT_QUALIFICATION'), 0x20);
  });
  it('a TPR below the threshold exits behind the store', () => {
    withPage().primary(PRIMARY.USE_TPR_SHADOW).set('TPR_THRESHOLD', 5);
    bench.poke(AT.virtualApic + 0x80, [0x60]);
    assert.equal(bench.launch(`b8 40 00 00 00 ${store(0x80)} 0f a2`), 'TPR_BELOW_THRESHOLD');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 12);
  });
  it('an entry with VTPR below the threshold exits at once', () => {
    withPage().primary(PRIMARY.USE_TPR_SHADOW).set('TPR_THRESHOLD', 5);
    assert.equal(bench.launch('90'), 'TPR_BELOW_THRESHOLD');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
  });
  it('it comes before INIT and debug exceptions, which stay pending, but not in shutdown or wait-for-SIPI', () => {
    const below = (activity: number): VmxBench => {
      withPage().primary(PRIMARY.USE_TPR_SHADOW).set('TPR_THRESHOLD', 5).set('GUEST_ACTIVITY_STATE', activity);
      bench.set('GUEST_RFLAGS', 0x102).set('GUEST_PENDING_DBG_EXCEPTIONS', 0x4000);
      return bench;
    };
    const state = below(0);
    state.pendingInit = true;
    assert.equal(state.launch('90'), 'TPR_BELOW_THRESHOLD');
    assert.equal(bench.get('GUEST_PENDING_DBG_EXCEPTIONS'), 0x4000);
    assert.equal(bench.pendingInit, true);
    bench.pendingInit = false;
    for (const activity of [2, 3]) {
      below(activity).launch('90');
      assert.equal(bench.unit.nonRoot, true, `activity state ${activity}`);
    }
  });
});
