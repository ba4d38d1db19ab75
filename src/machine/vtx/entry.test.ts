// SPDX-License-Identifier: Apache-2.0
// VM entry and exit as a round trip of state, and the entries that fail after the guest state was begun.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ENTRY, EXIT, PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { FIELDS, OFFSET } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { readMsr } from '../cpu/microcode/msr-table.ts';
import { CS, DS, FS, GS, LDTR, RAX, SS, STATE, TR } from '../cpu/state.ts';
import { AT, VmxBench } from './vmx-bench.test.ts';

const bench = new VmxBench();
const paper = new VmxBench('paper-1');
const IA32_KERNEL_GS_BASE = 0xc0000102;
const IA32_DEBUGCTL = 0x1d9;

describe('guest state', () => {
  it('comes back from an exit as it went in', () => {
    bench.reset().or('VM_EXIT_CONTROLS', EXIT.SAVE_DEBUG_CONTROLS | EXIT.SAVE_IA32_PAT | EXIT.SAVE_IA32_EFER);
    bench.or('VM_ENTRY_CONTROLS', ENTRY.LOAD_DEBUG_CONTROLS | ENTRY.LOAD_IA32_PAT | ENTRY.LOAD_IA32_EFER);
    bench.set('GUEST_IA32_PAT', 0x00070106, 0x00070106).set('GUEST_DR7', 0x500).set('GUEST_IA32_DEBUGCTL', 1);
    bench
      .set('GUEST_FS_AR_BYTES', 0xc0f3)
      .set('GUEST_FS_SELECTOR', 0x2b)
      .set('GUEST_FS_BASE', 0x1000, 0xffff8000)
      .set('GUEST_FS_LIMIT', 0xffffffff);
    bench
      .set('GUEST_LDTR_AR_BYTES', 0x82)
      .set('GUEST_LDTR_SELECTOR', 0x48)
      .set('GUEST_LDTR_BASE', 0x9000, 0xfffffe00)
      .set('GUEST_LDTR_LIMIT', 0x2f);
    bench
      .set('GUEST_SYSENTER_CS', 0x10)
      .set('GUEST_SYSENTER_ESP', 0x1111, 0xffff8000)
      .set('GUEST_SYSENTER_EIP', 0x2222, 0xffff8000);
    bench.set('GUEST_RFLAGS', 0x246);
    const guest = FIELDS.filter((field) => field.area === 'guest' && field.name !== 'GUEST_RIP');
    const before = guest.map((field) => bench.get64(field.name));
    assert.equal(bench.launch('0f a2'), 'CPUID');
    guest.forEach((field, i) => assert.equal(bench.get64(field.name), before[i], field.name));
  });
  it('is what the guest runs with', () => {
    bench.reset().or('VM_ENTRY_CONTROLS', ENTRY.LOAD_DEBUG_CONTROLS | ENTRY.LOAD_IA32_PAT);
    bench
      .set('GUEST_IA32_PAT', 0x00070106, 0x00070106)
      .set('GUEST_DR7', 0xd500)
      .set('GUEST_IA32_DEBUGCTL', 2)
      .set('GUEST_ACTIVITY_STATE', 3);
    bench.launch('90');
    assert.equal(bench.cpu.get32(STATE.dr7), 0x500, 'bits 12, 14 and 15 are cleared');
    assert.equal(bench.cpu.get64(STATE.pat), 0x0007010600070106n);
    assert.equal(readMsr(bench.cpu, IA32_DEBUGCTL), 2n);
    assert.equal(bench.cpu.get32(STATE.nonRoot), 1);
  });
  it('CPL is the DPL of SS', () => {
    bench
      .reset()
      .set('GUEST_CS_AR_BYTES', 0xa0fb)
      .set('GUEST_CS_SELECTOR', 0x33)
      .set('GUEST_SS_AR_BYTES', 0xc0f3)
      .set('GUEST_SS_SELECTOR', 0x2b);
    // Pages are for users; HLT is a #GP there.
    bench.set('EXCEPTION_BITMAP', 1 << 13);
    assert.equal(bench.launch('f4'), 'EXCEPTION_NMI');
    assert.equal(bench.get('GUEST_SS_AR_BYTES'), 0xc0f3);
    assert.equal(bench.cpu.cpl, 0);
  });
  it('the entry control follows IA32_EFER.LMA where IA32_VMX_MISC[5] is 1', () => {
    bench.reset().launch('0f a2');
    assert.equal(bench.get('VM_ENTRY_CONTROLS') & ENTRY.IA32E_MODE_GUEST, ENTRY.IA32E_MODE_GUEST);
    assert.equal(bench.unit.exitStoresLma, true);
    assert.equal(paper.unit.exitStoresLma, false);
  });
  it('blocking by STI and MOV SS is saved', () => {
    assert.equal(bench.reset().launch('fb 0f a2'), 'CPUID');
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 1);
    assert.equal(bench.reset().launch('66 8c d0 8e d0 0f a2'), 'CPUID');
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 2);
  });
  it('blocking by STI is saved although nothing waited for its end, and only if the next instruction exits', () => {
    for (const [code, blocking] of [
      ['fb 0f a2', 1],
      ['fb 90 0f a2', 0],
      ['fb fb 0f a2', 0],
    ] as const) {
      bench.reset().cpu.set32(STATE.noEventWaits, 1);
      assert.equal(bench.launch(code), 'CPUID');
      assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), blocking, code);
    }
    bench
      .reset()
      .set('EXCEPTION_BITMAP', 1 << 6)
      .cpu.set32(STATE.noEventWaits, 1);
    assert.equal(bench.launch('fb 0f 0b'), 'EXCEPTION_NMI');
    assert.equal(bench.get('GUEST_INTERRUPTIBILITY_INFO'), 1);
  });
  it('blocking is loaded: an interrupt waits for one instruction', () => {
    bench.reset().set('GUEST_INTERRUPTIBILITY_INFO', 1).set('GUEST_RFLAGS', 0x202).primary(PRIMARY.HLT_EXITING);
    bench.waiting.push(0x20);
    assert.equal(bench.launch('90 90'), 'HLT');
    assert.equal(bench.peek64(AT.guestStack - 40), BigInt(AT.guestCode + 1));
  });
  it('pending debug exceptions are delivered first', () => {
    bench.reset().set('GUEST_PENDING_DBG_EXCEPTIONS', 0x4000).set('GUEST_RFLAGS', 0x102).primary(PRIMARY.HLT_EXITING);
    assert.equal(bench.launch('90'), 'HLT');
    assert.equal(bench.get('GUEST_RIP'), AT.handler + 16 + 1);
    assert.equal(bench.cpu.get32(STATE.dr6) & 0x4000, 0x4000);
    assert.equal(bench.peek64(AT.guestStack - 40), BigInt(AT.guestCode));
  });
  it('PAE paging: page-directory pointers from the VMCS with EPT, and back', () => {
    bench.reset().secondary(SECONDARY.ENABLE_EPT | SECONDARY.UNRESTRICTED_GUEST);
    bench.poke64(AT.ept, (AT.ept + 0x1000) | 7);
    bench.poke64(AT.ept + 0x1000, (AT.ept + 0x2000) | 7);
    for (let i = 0; i < 4; i++) bench.poke64(AT.ept + 0x2000 + 8 * i, ((i << 21) | 0xb7) >>> 0);
    bench
      .set('VM_ENTRY_CONTROLS', bench.get('VM_ENTRY_CONTROLS') & ~ENTRY.IA32E_MODE_GUEST)
      .set('GUEST_IA32_EFER', 0)
      .set('GUEST_CS_AR_BYTES', 0xc09b);
    bench.set('GUEST_DS_AR_BYTES', 0xc093).set('GUEST_DS_LIMIT', 0xffffffff);
    bench.set('GUEST_PDPTR0', (AT.pageTables + 0x2000) | 1).set('GUEST_CR3', AT.free);
    assert.equal(bench.launch('a1 00 00 20 00 0f a2'), 'CPUID');
    assert.equal(bench.get64('GUEST_PDPTR0'), BigInt((AT.pageTables + 0x2000) | 1));
    assert.equal(bench.get('VM_ENTRY_CONTROLS') & ENTRY.IA32E_MODE_GUEST, 0);
    bench.set('GUEST_PDPTR0', 0x5001).set('GUEST_CR0', bench.get('GUEST_CR0') & 0x7fffffff);
    bench.set('GUEST_RIP', AT.guestCode + 5);
    assert.equal(bench.resume(), 'CPUID');
    assert.equal(bench.get64('GUEST_PDPTR0'), 0x5001n, 'without PAE paging nothing is saved');
  });
});

describe('host state', () => {
  it('registers, and segments with the rights the architecture gives', () => {
    bench
      .reset()
      .set('HOST_FS_SELECTOR', 0x18)
      .set('HOST_FS_BASE', 0x1000, 0xffff8000)
      .set('HOST_DS_SELECTOR', 0)
      .set('HOST_GS_BASE', 0x2000, 0xffff8000);
    bench.set('HOST_IA32_SYSENTER_CS', 0x10).set('HOST_IA32_SYSENTER_ESP', 0x77);
    const { cpu } = bench;
    assert.equal(bench.launch('b8 00 03 00 00 50 9d 0f a2'), 'CPUID');
    assert.equal(cpu.rflags & ~0, 2);
    assert.equal(cpu.getSigned(4 * 8), AT.hostStack);
    assert.equal(cpu.accessRights(CS), 0xa09b);
    assert.equal(cpu.accessRights(SS), 0xc093);
    assert.equal(cpu.accessRights(DS), 0x10000);
    assert.equal(cpu.accessRights(FS), 0xc093);
    assert.equal(cpu.get64(STATE.segments + FS * 32), 0xffff800000001000n);
    assert.equal(cpu.get64(STATE.segments + GS * 32), 0xffff800000002000n);
    assert.equal(cpu.accessRights(LDTR), 0x10000);
    assert.equal(cpu.accessRights(TR), 0x8b);
    assert.equal(cpu.segmentLimit(TR), 0x67);
    assert.equal(cpu.get32(STATE.gdtrLimit), 0xffff);
    assert.equal(cpu.get32(STATE.dr7), 0x400);
    assert.equal(cpu.get64(STATE.sysenterEsp), 0x77n);
    assert.equal(cpu.get32(STATE.nonRoot), 0);
  });
  it('CR0 keeps CD, NW and ET', () => {
    bench.reset().set('HOST_CR0', 0xe0050033).set('GUEST_CR0', 0x80050033);
    bench.launch('0f a2');
    assert.equal(bench.cpu.get32(STATE.cr0), 0x80050033);
  });
  it('IA32_EFER and IA32_PAT by control', () => {
    bench
      .reset()
      .or('VM_EXIT_CONTROLS', EXIT.LOAD_IA32_EFER | EXIT.LOAD_IA32_PAT)
      .set('HOST_IA32_EFER', 0x500)
      .set('HOST_IA32_PAT', 0x06060606, 0x06060606);
    bench.launch('0f a2');
    assert.equal(bench.cpu.efer, 0x500);
    assert.equal(bench.cpu.get64(STATE.pat), 0x0606060606060606n);
  });
});

describe('MSR lists', () => {
  const entry = (at: number, index: number, value: number): void => {
    bench.poke64(AT.msrList + at, index);
    bench.poke64(AT.msrList + at + 8, value);
  };
  it('load at entry, store and load at exit', () => {
    bench.reset();
    entry(0, IA32_KERNEL_GS_BASE, 0x1234);
    entry(0x100, IA32_KERNEL_GS_BASE, 0);
    entry(0x200, IA32_KERNEL_GS_BASE, 0x5678);
    bench.set('VM_ENTRY_MSR_LOAD_ADDR', AT.msrList).set('VM_ENTRY_MSR_LOAD_COUNT', 1);
    bench.set('VM_EXIT_MSR_STORE_ADDR', AT.msrList + 0x100).set('VM_EXIT_MSR_STORE_COUNT', 1);
    bench.set('VM_EXIT_MSR_LOAD_ADDR', AT.msrList + 0x200).set('VM_EXIT_MSR_LOAD_COUNT', 1);
    assert.equal(bench.launch('b9 02 01 00 c0 0f 32 0f a2'), 'CPUID');
    assert.equal(bench.cpu.reg32(RAX), 0x1234);
    assert.equal(bench.peek64(AT.msrList + 0x108), 0x1234n);
    assert.equal(readMsr(bench.cpu, IA32_KERNEL_GS_BASE), 0x5678n);
  });
  it('an entry that cannot be loaded: exit 34 with its number, and what came before stays', () => {
    for (const [index, value] of [
      [0xc0000100, 0],
      [0x12345678, 0],
      [0x277, 0x08],
    ]) {
      bench.reset();
      entry(0, IA32_KERNEL_GS_BASE, 0x42);
      entry(16, index, value);
      bench.set('VM_ENTRY_MSR_LOAD_ADDR', AT.msrList).set('VM_ENTRY_MSR_LOAD_COUNT', 2);
      bench
        .set('VM_EXIT_MSR_STORE_ADDR', AT.msrList + 0x100)
        .set('VM_EXIT_MSR_STORE_COUNT', 1)
        .set('VM_EXIT_INTR_INFO', 0x55);
      entry(0x100, IA32_KERNEL_GS_BASE, 0);
      assert.equal(bench.launch('90'), 'failed: MSR_LOAD_FAIL');
      assert.equal(bench.get('EXIT_QUALIFICATION'), 2);
      assert.equal(readMsr(bench.cpu, IA32_KERNEL_GS_BASE), 0x42n);
      assert.equal(bench.peek64(AT.msrList + 0x108), 0n, 'nothing is stored');
      assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0x55, 'nothing else is written');
      assert.equal(bench.unit.vmcs.launchState, 0);
      assert.equal(bench.cpu.rip, AT.hostExit + 1);
    }
  });
  it('a list that fails at exit is a VMX abort: indicator, shutdown', () => {
    for (const [address, count, indicator] of [
      ['VM_EXIT_MSR_STORE_ADDR', 'VM_EXIT_MSR_STORE_COUNT', 1],
      ['VM_EXIT_MSR_LOAD_ADDR', 'VM_EXIT_MSR_LOAD_COUNT', 4],
    ] as [FieldName, FieldName, number][]) {
      bench.reset();
      entry(0, 0x12345678, 0);
      bench.set(address, AT.msrList).set(count, 1).launch('0f a2');
      assert.equal(bench.cpu.get32(STATE.activity), 2);
      assert.equal(bench.peek64(AT.vmcs) >> 32n, BigInt(indicator));
      assert.equal(bench.unit.state.aborted, true);
    }
  });
});

describe('entries that fail', () => {
  const cases: [string, (b: VmxBench) => void, number][] = [
    ['guest state', (b) => void b.set('GUEST_RFLAGS', 0), 0],
    [
      'NMI under blocking by STI',
      (b) =>
        void b
          .set('GUEST_RFLAGS', 0x202)
          .set('GUEST_INTERRUPTIBILITY_INFO', 1)
          .set('VM_ENTRY_INTR_INFO_FIELD', 0x80000202),
      3,
    ],
    ['link pointer', (b) => void b.set('VMCS_LINK_POINTER', 0x123, 0), 4],
  ];
  for (const [name, change, qualification] of cases) {
    it(`${name}: exit 33 with bit 31, host state loaded, guest state as it was`, () => {
      bench.reset();
      change(bench);
      const before = bench.memory.u8.slice(
        bench.memory.host(AT.vmcs + OFFSET.GUEST_ES_SELECTOR),
        bench.memory.host(AT.vmcs + OFFSET.GUEST_ES_SELECTOR) + 128,
      );
      bench.set('GUEST_RSP', 0x1111);
      assert.equal(bench.launch('90'), 'failed: INVALID_STATE');
      assert.equal(bench.get('EXIT_QUALIFICATION'), qualification);
      assert.equal(bench.get('GUEST_RSP'), 0x1111);
      assert.deepEqual(
        bench.memory.u8.slice(
          bench.memory.host(AT.vmcs + OFFSET.GUEST_ES_SELECTOR),
          bench.memory.host(AT.vmcs + OFFSET.GUEST_ES_SELECTOR) + 128,
        ),
        before,
      );
      assert.equal(bench.cpu.rip, AT.hostExit + 1);
      assert.equal(bench.unit.state.nonRoot, false);
    });
  }
  it('PDPTEs in memory without EPT: qualification 2', () => {
    bench
      .reset()
      .set('VM_ENTRY_CONTROLS', bench.get('VM_ENTRY_CONTROLS') & ~ENTRY.IA32E_MODE_GUEST)
      .set('GUEST_IA32_EFER', 0)
      .set('GUEST_CS_AR_BYTES', 0xc09b);
    bench.set('GUEST_CR3', AT.free);
    bench.poke64(AT.free, 0x7);
    assert.equal(bench.launch('90'), 'failed: INVALID_STATE');
    assert.equal(bench.get('EXIT_QUALIFICATION'), 2);
  });
  it('rules are checked again when a field that they read is written', () => {
    bench.reset().launch('0f a2');
    const { unit } = bench;
    assert.notEqual(unit.state.dirtyGroups, -1);
    bench.cpu.setReg64(1, 0x4006n);
    bench.cpu.setReg64(0, 0n);
    bench.cpu.setReg64(1, BigInt(0x4002));
    bench.host('48 0f 79 c8');
    assert.equal(bench.outcome, 'VMsucceed');
    bench.host('0f 01 c3');
    assert.equal(bench.outcome, 'VMfailValid 7');
  });
});

describe('32-bit hosts', () => {
  it('a guest in IA-32e mode cannot be entered, and one that gets there by itself aborts at exit', () => {
    bench
      .reset()
      .set('VM_EXIT_CONTROLS', bench.get('VM_EXIT_CONTROLS') & ~EXIT.HOST_ADDRESS_SPACE_SIZE)
      .host('0f 01 c2');
    assert.equal(bench.outcome, 'VMfailValid 8');
  });
});
