// SPDX-License-Identifier: Apache-2.0
// The table of exit routes a second time, from the manual: which control makes each exit, and what a condition says in
// all its cases. See: SDM 26.1 Instructions That Cause VM Exits, 26.2 Other Causes of VM Exits
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONTROLS } from '../../arch/vmx/controls.ts';
import { exampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { EXIT_REASON, EXIT_REASONS } from '../../arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../arch/vmx/exit-reasons.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { exitInformation } from './exit-information.ts';
import { exitRoute, ownerOf } from './exit-routes.ts';

/** L1's by a condition, or by EPT12. */
const DECIDED = ['EXCEPTION_NMI', 'CR_ACCESS', 'IO_INSTRUCTION', 'MSR_READ', 'MSR_WRITE'];
const EPT12 = ['EPT_VIOLATION', 'EPT_MISCONFIG'];
/** Of the machine, of L0's own lists and controls, or impossible without SMM. */
// prettier-ignore
const L0 = [
  'EXTERNAL_INTERRUPT', 'INIT_SIGNAL', 'SIPI_SIGNAL', 'IO_SMI', 'OTHER_SMI', 'INVALID_STATE', 'MSR_LOAD_FAIL',
  'MCE_DURING_VMENTRY', 'PML_FULL', 'SPP_EVENT', 'BUS_LOCK', 'NOTIFY',
];
/** The controls that make it exit, in the order of the manual's groups. Exits that are in no list here are L1's always. */
const BY_CONTROL: { readonly [Name in ExitReasonName]?: string } = {
  INTERRUPT_WINDOW: 'primary.INTERRUPT_WINDOW_EXITING',
  NMI_WINDOW: 'primary.NMI_WINDOW_EXITING',
  HLT: 'primary.HLT_EXITING',
  INVLPG: 'primary.INVLPG_EXITING',
  RDPMC: 'primary.RDPMC_EXITING',
  RDTSC: 'primary.RDTSC_EXITING',
  RDTSCP: 'primary.RDTSC_EXITING',
  UMWAIT: 'primary.RDTSC_EXITING',
  TPAUSE: 'primary.RDTSC_EXITING',
  DR_ACCESS: 'primary.MOV_DR_EXITING',
  MWAIT_INSTRUCTION: 'primary.MWAIT_EXITING',
  MONITOR_INSTRUCTION: 'primary.MONITOR_EXITING',
  PAUSE_INSTRUCTION: 'primary.PAUSE_EXITING secondary.PAUSE_LOOP_EXITING',
  TPR_BELOW_THRESHOLD: 'primary.USE_TPR_SHADOW',
  APIC_ACCESS: 'secondary.VIRTUALIZE_APIC_ACCESSES',
  GDTR_IDTR: 'secondary.DESCRIPTOR_TABLE_EXITING',
  LDTR_TR: 'secondary.DESCRIPTOR_TABLE_EXITING',
  PREEMPTION_TIMER: 'pin.ACTIVATE_VMX_PREEMPTION_TIMER',
  WBINVD: 'secondary.WBINVD_EXITING',
  RDRAND: 'secondary.RDRAND_EXITING',
  RDSEED: 'secondary.RDSEED_EXITING',
  INVPCID: 'primary.INVLPG_EXITING',
};

const FIELD: { readonly [group: string]: FieldName } = {
  pin: 'PIN_BASED_VM_EXEC_CONTROL',
  primary: 'CPU_BASED_VM_EXEC_CONTROL',
  secondary: 'SECONDARY_VM_EXEC_CONTROL',
};
const ACTIVATE = 0x80000000;

/** No control at all, whatever else the example has. */
function bare(): ExampleVmcs {
  const vmcs = exampleVmcs();
  for (const name of [...Object.values(FIELD), 'EXCEPTION_BITMAP'] as const) vmcs.set(name, 0);
  return vmcs;
}

interface Asked {
  readonly qualification?: number;
  readonly interruption?: number;
  readonly errorCode?: number;
  readonly registers?: { readonly [number: number]: readonly [low: number, high: number] };
  readonly memory?: { readonly [address: number]: number };
}

function owner(vmcs: ExampleVmcs, reason: ExitReasonName, asked: Asked = {}): string {
  const row = exitRoute(EXIT_REASON[reason]);
  assert.ok(row);
  const { qualification = 0, interruption = 0, errorCode = 0, registers = {}, memory = {} } = asked;
  return ownerOf(row.route, {
    vmcs12: vmcs.view,
    exit: exitInformation(EXIT_REASON[reason], { qualificationLow: qualification, interruption, errorCode }),
    l1: { read: (address, bytes) => bytes.forEach((_, i) => (bytes[i] = memory[address + i] ?? 0)) },
    register: (number) => ({ low: registers[number]?.[0] ?? 0, high: registers[number]?.[1] ?? 0 }),
  });
}

describe('exit routes, from the manual', () => {
  it('the lists name exits that there are', () => {
    const names: readonly string[] = EXIT_REASONS.map(({ name }) => name);
    for (const name of [...DECIDED, ...EPT12, ...L0, ...Object.keys(BY_CONTROL)]) assert.ok(names.includes(name), name);
  });
  for (const { name } of EXIT_REASONS.filter((reason) => !DECIDED.includes(reason.name))) {
    const expected = BY_CONTROL[name] ?? (L0.includes(name) ? 'L0' : EPT12.includes(name) ? 'EPT12' : 'L1');
    it(`${name}: ${expected}`, () => {
      const none = owner(bare(), name);
      const makesIt = CONTROLS.filter(({ group }) => FIELD[group] !== undefined).filter(({ group, bit }) => {
        const vmcs = bare();
        if (group === 'secondary') vmcs.or(FIELD.primary, ACTIVATE);
        vmcs.or(FIELD[group], 1 << bit);
        return owner(vmcs, name) !== none;
      });
      if (BY_CONTROL[name] === undefined) assert.deepEqual([none, makesIt], [expected, []]);
      else assert.deepEqual([none, makesIt.map((row) => `${row.group}.${row.name}`).join(' ')], ['L0', expected]);
    });
  }
  it('a secondary control needs its activation', () => {
    const vmcs = bare();
    vmcs.set(FIELD.secondary, 0xffffffff);
    vmcs.set(FIELD.primary, 0x7ffffff7 & ~0x200000);
    assert.equal(owner(vmcs, 'WBINVD'), 'L0');
    vmcs.set(FIELD.primary, ACTIVATE);
    assert.equal(owner(vmcs, 'WBINVD'), 'L1');
  });
});

describe('exceptions of L2, each vector and each filter', () => {
  it('a bit of the bitmap is for its vector, whatever the others are', () => {
    for (let vector = 0; vector < 32; vector++) {
      if (vector === 14) continue;
      const vmcs = bare();
      vmcs.set('PAGE_FAULT_ERROR_CODE_MASK', 5);
      vmcs.set('PAGE_FAULT_ERROR_CODE_MATCH', 1);
      const exception = { interruption: (0x80000300 | vector) >>> 0 };
      vmcs.set('EXCEPTION_BITMAP', (1 << vector) >>> 0);
      assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception), 'L1', `${vector}`);
      vmcs.set('EXCEPTION_BITMAP', ~(1 << vector) >>> 0);
      assert.equal(owner(vmcs, 'EXCEPTION_NMI', exception), 'L0', `${vector}`);
    }
  });
  it('page faults: bit, mask, match and error code', () => {
    const interruption = 0x80000b0e;
    for (const bit of [0, 1 << 14])
      for (const mask of [0, 1, 4, 0xffff0008])
        for (const match of [0, 1, 4, 0xffff0000])
          for (const errorCode of [0, 1, 4, 5, 0xffff0001]) {
            const vmcs = bare();
            vmcs.set('EXCEPTION_BITMAP', bit);
            vmcs.set('PAGE_FAULT_ERROR_CODE_MASK', mask);
            vmcs.set('PAGE_FAULT_ERROR_CODE_MATCH', match);
            const equal = ((errorCode & mask) ^ match) === 0;
            const expected = (bit !== 0) === equal ? 'L1' : 'L0';
            assert.equal(owner(vmcs, 'EXCEPTION_NMI', { interruption, errorCode }), expected);
          }
  });
});

const access = (number: number, type: number, register = 0, source = 0): number =>
  number | (type << 4) | (register << 8) | (source << 16);

describe('control registers of L2, bit by bit', () => {
  it('MOV to CR0 and CR4: each bit by its mask, against its shadow, from each register', () => {
    for (const [number, name] of [
      [0, 'CR0'],
      [4, 'CR4'],
    ] as const)
      for (let bit = 0; bit < 32; bit++)
        for (const [owned, shown, written] of [
          [0, 0, 1],
          [1, 0, 1],
          [1, 1, 1],
          [1, 1, 0],
          [1, 0, 0],
          [0, 1, 0],
        ]) {
          const vmcs = bare();
          vmcs.set(`${name}_GUEST_HOST_MASK`, (owned << bit) >>> 0);
          vmcs.set(`${name}_READ_SHADOW`, (shown << bit) >>> 0);
          const register = bit % 16;
          const asked = {
            qualification: access(number, 0, register),
            registers: { [register]: [(written << bit) >>> 0, 0] as const },
          };
          const expected = owned === 1 && shown !== written ? 'L1' : 'L0';
          assert.equal(owner(vmcs, 'CR_ACCESS', asked), expected, `${name} ${bit} ${owned}${shown}${written}`);
        }
  });
  it('CLTS and LMSW: every mask, shadow and source of the four bits', () => {
    for (let mask = 0; mask < 16; mask++)
      for (let shadow = 0; shadow < 16; shadow++) {
        const vmcs = bare();
        // Bits that neither instruction can change must not count.
        vmcs.set('CR0_GUEST_HOST_MASK', (0xfffffff0 | mask) >>> 0);
        vmcs.set('CR0_READ_SHADOW', (0x80050020 | shadow) >>> 0);
        assert.equal(owner(vmcs, 'CR_ACCESS', { qualification: access(0, 2) }), mask & shadow & 8 ? 'L1' : 'L0');
        for (let source = 0; source < 16; source++) {
          const changes = (mask & (source ^ shadow) & 0xe) !== 0;
          const setsPe = (mask & 1) === 1 && (source & 1) === 1 && (shadow & 1) === 0;
          const qualification = access(0, 3, 0, 0xfff0 | source);
          assert.equal(owner(vmcs, 'CR_ACCESS', { qualification }), changes || setsPe ? 'L1' : 'L0');
        }
      }
  });
  it('CR3 and CR8: each access by its own control', () => {
    const bits = { 'load 3': 15, 'store 3': 16, 'load 8': 19, 'store 8': 20 } as const;
    for (const [asked, own] of Object.entries(bits))
      for (let bit = 0; bit < 32; bit++) {
        const vmcs = bare();
        vmcs.set(FIELD.primary, (1 << bit) >>> 0);
        const [what, number] = asked.split(' ');
        const qualification = access(Number(number), what === 'load' ? 0 : 1, 6);
        assert.equal(owner(vmcs, 'CR_ACCESS', { qualification }), bit === own ? 'L1' : 'L0', `${asked} by ${bit}`);
      }
  });
  it('CR3 targets: as many as the count says, all 64 bits', () => {
    for (let count = 0; count <= 4; count++)
      for (let target = 0; target < 4; target++) {
        const vmcs = bare();
        vmcs.set(FIELD.primary, 1 << 15);
        vmcs.set('CR3_TARGET_COUNT', count);
        for (const index of [0, 1, 2, 3] as const)
          vmcs.set(`CR3_TARGET_VALUE${index}`, 0x1000 * (index + 1), index + 7);
        const move = (low: number, high: number): string =>
          owner(vmcs, 'CR_ACCESS', { qualification: access(3, 0, 2), registers: { 2: [low, high] } });
        assert.equal(move(0x1000 * (target + 1), target + 7), target < count ? 'L0' : 'L1');
        assert.equal(move(0x1000 * (target + 1), target + 8), 'L1');
        assert.equal(move(0x1000 * (target + 1) + 8, target + 7), 'L1');
      }
  });
});

describe('ports and MSRs of L2', () => {
  const A = 0x10000;
  const B = 0x20000;
  it('an access by its size, from its port', () => {
    for (const size of [1, 2, 4])
      for (const marked of [0x7e, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84]) {
        const vmcs = bare();
        vmcs.set(FIELD.primary, 1 << 25);
        vmcs.set('IO_BITMAP_A', A);
        vmcs.set('IO_BITMAP_B', B);
        const memory = { [A + (marked >> 3)]: 1 << (marked & 7) };
        const qualification = (0x80 << 16) | (size - 1) | 8;
        const expected = marked >= 0x80 && marked < 0x80 + size ? 'L1' : 'L0';
        assert.equal(owner(vmcs, 'IO_INSTRUCTION', { qualification, memory }), expected, `${size} at ${marked}`);
      }
  });
  it('RDMSR and WRMSR by ECX, each in its quarter', () => {
    const QUARTERS = [
      ['MSR_READ', 0x10, 0],
      ['MSR_READ', 0xc0000010, 0x400],
      ['MSR_WRITE', 0x10, 0x800],
      ['MSR_WRITE', 0xc0000010, 0xc00],
    ] as const;
    for (const [reason, index] of QUARTERS)
      for (const [marked, of, quarter] of QUARTERS) {
        const vmcs = bare();
        vmcs.set(FIELD.primary, 1 << 28);
        vmcs.set('MSR_BITMAP', A);
        const registers = { 1: [index, 0xffff] as const };
        const expected = reason === marked && index === of ? 'L1' : 'L0';
        assert.equal(owner(vmcs, reason, { registers, memory: { [A + quarter + 2]: 1 } }), expected);
      }
  });
});
