// SPDX-License-Identifier: Apache-2.0
// What an exit says of an IRET that unblocked NMIs. See: SDM 28.2.3 Information About NMI Unblocking Due to IRET
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PIN, SECONDARY } from '../../arch/vmx/controls.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const BLOCKING_BY_NMI = 8;
const LINEAR = 0x180;
const [READ, FETCH] = [1, 4];
const NMI_UNBLOCKING = 1 << 12;
/** Pushes SS, RSP, RFLAGS, this CS and guestData as RIP; IRETQ. */
const returnWith = (cs: string): string => `6a 10 68 00 40 05 00 6a 02 6a ${cs} 68 00 00 20 00 48 cf`;

/** With virtual NMIs, and NMIs blocked; EPT maps the first 2 MiB one to one, and nothing at guestData. */
function blocked(): VmxBench {
  bench
    .reset()
    .pin(PIN.NMI_EXITING | PIN.VIRTUAL_NMIS)
    .secondary(SECONDARY.ENABLE_EPT)
    .set('EPT_POINTER', AT.ept | 0x1e)
    .set('GUEST_INTERRUPTIBILITY_INFO', BLOCKING_BY_NMI);
  bench.poke64(AT.ept, (AT.ept + 0x1000) | 7);
  bench.poke64(AT.ept + 0x1000, (AT.ept + 0x2000) | 7);
  bench.poke64(AT.ept + 0x2000, 0xb7);
  return bench;
}

describe('an EPT violation', () => {
  it('by IRET itself: NMIs are open, and it says that IRET has unblocked them', () => {
    blocked().set('GUEST_RSP', AT.guestData);
    assert.equal(bench.launch('48 cf'), 'EPT_VIOLATION');
    assert.equal(bench.get('EXIT_QUALIFICATION'), READ | LINEAR | NMI_UNBLOCKING);
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 0);
  });
  it('by the fetch after IRET says nothing of it', () => {
    blocked();
    assert.equal(bench.launch(returnWith('08')), 'EPT_VIOLATION');
    assert.equal(bench.get('GUEST_RIP'), AT.guestData);
    assert.equal(bench.get('EXIT_QUALIFICATION'), FETCH | LINEAR);
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 0);
  });
  it('by the fetch of the handler of a fault in IRET says nothing of it', () => {
    blocked().poke64(AT.guestIdt + 16 * 13, 8 << 16, AT.guestData | 0x8e00);
    assert.equal(bench.launch(returnWith('00')), 'EPT_VIOLATION');
    assert.equal(bench.get('GUEST_RIP'), AT.guestData);
    assert.equal(bench.get('EXIT_QUALIFICATION'), FETCH | LINEAR);
  });
});
