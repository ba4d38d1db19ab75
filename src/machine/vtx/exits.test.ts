// SPDX-License-Identifier: Apache-2.0
// Every exit that an instruction can cause: whether by its control, and with which information.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { RAX, RCX, RDX } from '../cpu/state.ts';
import { AT, VmxBench, hex } from './vmx-bench.test.ts';

const bench = new VmxBench();

interface Case {
  readonly name: string;
  readonly code: string;
  /** Where the exiting instruction begins. */
  readonly at?: number;
  readonly exit: string;
  readonly length: number;
  readonly set?: (bench: VmxBench) => void;
  readonly fields?: Partial<Record<FieldName, number>>;
  /** Without what `set` does, the guest goes on: to the CPUID that follows. */
  readonly conditional?: boolean;
}

const primary =
  (mask: number) =>
  (b: VmxBench): void =>
    void b.primary(mask);
const secondary =
  (mask: number) =>
  (b: VmxBench): void =>
    void b.secondary(mask);
const bitmap =
  (page: number, bit: number) =>
  (b: VmxBench): void =>
    b.setBit(page, bit);
const ioBitmap =
  (page: number, bit: number) =>
  (b: VmxBench): void =>
    b.primary(PRIMARY.USE_IO_BITMAPS).setBit(page, bit);
const OPERAND = '00 c0 00 00';

// prettier-ignore
const CASES: readonly Case[] = [
  { name: 'CPUID', code: '0f a2', exit: 'CPUID', length: 2, fields: { EXIT_QUALIFICATION: 0, VM_EXIT_INTR_INFO: 0, IDT_VECTORING_INFO_FIELD: 0 } },
  { name: 'HLT', code: 'f4', exit: 'HLT', length: 1, set: primary(PRIMARY.HLT_EXITING) },
  { name: 'INVD', code: '0f 08', exit: 'INVD', length: 2 },
  { name: 'WBINVD', code: '0f 09', exit: 'WBINVD', length: 2, set: secondary(SECONDARY.WBINVD_EXITING), conditional: true },
  { name: 'INVLPG', code: `0f 01 3c 25 ${OPERAND}`, exit: 'INVLPG', length: 8, set: primary(PRIMARY.INVLPG_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 0xc000 } },
  { name: 'RDTSC', code: '0f 31', exit: 'RDTSC', length: 2, set: primary(PRIMARY.RDTSC_EXITING), conditional: true },
  { name: 'RDTSCP', code: '0f 01 f9', exit: 'RDTSCP', length: 3, set: (b) => b.primary(PRIMARY.RDTSC_EXITING).secondary(SECONDARY.ENABLE_RDTSCP) },
  { name: 'RDPMC', code: '0f 33', exit: 'RDPMC', length: 2, set: primary(PRIMARY.RDPMC_EXITING) },
  { name: 'PAUSE', code: 'f3 90', exit: 'PAUSE_INSTRUCTION', length: 2, set: primary(PRIMARY.PAUSE_EXITING), conditional: true },
  { name: 'MONITOR', code: '0f 01 c8', exit: 'MONITOR_INSTRUCTION', length: 3, set: primary(PRIMARY.MONITOR_EXITING) },
  { name: 'MWAIT', code: '0f 01 c9', exit: 'MWAIT_INSTRUCTION', length: 3, set: primary(PRIMARY.MWAIT_EXITING), fields: { EXIT_QUALIFICATION: 0 } },
  { name: 'XSETBV', code: '0f 01 d1', exit: 'XSETBV', length: 3 },
  { name: 'RDRAND ECX', code: '0f c7 f1', exit: 'RDRAND', length: 3, set: secondary(SECONDARY.RDRAND_EXITING), conditional: true, fields: { VMX_INSTRUCTION_INFO: (1 << 3) | (1 << 11) } },
  { name: 'RDSEED R9', code: '49 0f c7 f9', exit: 'RDSEED', length: 4, set: secondary(SECONDARY.RDSEED_EXITING), conditional: true, fields: { VMX_INSTRUCTION_INFO: (9 << 3) | (2 << 11) } },
  { name: 'MOV to CR3 from RDX', code: '0f 22 da', exit: 'CR_ACCESS', length: 3, set: primary(PRIMARY.CR3_LOAD_EXITING), fields: { EXIT_QUALIFICATION: 3 | (2 << 8) } },
  { name: 'MOV from CR3 to R10', code: '41 0f 20 da', exit: 'CR_ACCESS', length: 4, set: primary(PRIMARY.CR3_STORE_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 3 | (1 << 4) | (10 << 8) } },
  { name: 'MOV to CR8', code: '44 0f 22 c0', exit: 'CR_ACCESS', length: 4, set: primary(PRIMARY.CR8_LOAD_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 8 } },
  { name: 'MOV from CR8', code: '44 0f 20 c0', exit: 'CR_ACCESS', length: 4, set: primary(PRIMARY.CR8_STORE_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 8 | (1 << 4) } },
  { name: 'MOV to CR0 that changes what the host owns', code: '0f 20 c0 83 f0 08 0f 22 c0', at: 6, exit: 'CR_ACCESS', length: 3, set: (b) => b.set('CR0_GUEST_HOST_MASK', 8).set('CR0_READ_SHADOW', 0x80050033), conditional: true, fields: { EXIT_QUALIFICATION: 0 } },
  { name: 'MOV to CR4 that shows VMXE', code: '0f 20 e0 0f ba e8 0d 0f 22 e0', at: 7, exit: 'CR_ACCESS', length: 3, set: (b) => b.set('CR4_GUEST_HOST_MASK', 0x2000).set('CR4_READ_SHADOW', 0), conditional: true, fields: { EXIT_QUALIFICATION: 4 } },
  { name: 'CLTS', code: '0f 06', exit: 'CR_ACCESS', length: 2, set: (b) => b.set('CR0_GUEST_HOST_MASK', 8).set('CR0_READ_SHADOW', 8), conditional: true, fields: { EXIT_QUALIFICATION: 2 << 4 } },
  { name: 'LMSW AX', code: '66 b8 0b 00 0f 01 f0', at: 4, exit: 'CR_ACCESS', length: 3, set: (b) => b.set('CR0_GUEST_HOST_MASK', 8), fields: { EXIT_QUALIFICATION: (3 << 4) | (0xb << 16) } },
  { name: 'LMSW memory', code: `66 c7 04 25 ${OPERAND} 08 00 0f 01 34 25 ${OPERAND}`, at: 10, exit: 'CR_ACCESS', length: 8, set: (b) => b.set('CR0_GUEST_HOST_MASK', 8), fields: { EXIT_QUALIFICATION: (3 << 4) | (1 << 6) | (8 << 16), GUEST_LINEAR_ADDRESS: 0xc000 } },
  { name: 'MOV to DR7 from RBX', code: '0f 23 fb', exit: 'DR_ACCESS', length: 3, set: primary(PRIMARY.MOV_DR_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 7 | (3 << 8) } },
  { name: 'MOV from DR0 to R8', code: '41 0f 21 c0', exit: 'DR_ACCESS', length: 4, set: primary(PRIMARY.MOV_DR_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: (1 << 4) | (8 << 8) } },
  { name: 'IN AL, 70h', code: 'e4 70', exit: 'IO_INSTRUCTION', length: 2, set: primary(PRIMARY.UNCONDITIONAL_IO_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: (1 << 3) | (1 << 6) | (0x70 << 16) } },
  { name: 'OUT DX, EAX by bitmap B', code: '66 ba fa 80 ef', at: 4, exit: 'IO_INSTRUCTION', length: 1, set: ioBitmap(AT.ioBitmapB, 0xfd), conditional: true, fields: { EXIT_QUALIFICATION: (3 | (0x80fa << 16)) >>> 0 } },
  { name: 'OUT 21h, AL by bitmap A', code: 'e6 21', exit: 'IO_INSTRUCTION', length: 2, set: ioBitmap(AT.ioBitmapA, 0x21), conditional: true, fields: { EXIT_QUALIFICATION: (1 << 6) | (0x21 << 16) } },
  { name: 'an access that wraps around the ports', code: '66 ba ff ff 66 ef', at: 4, exit: 'IO_INSTRUCTION', length: 2, set: primary(PRIMARY.USE_IO_BITMAPS), conditional: true, fields: { EXIT_QUALIFICATION: (1 | (0xffff << 16)) >>> 0 } },
  { name: 'REP OUTSB', code: 'b9 02 00 00 00 be 00 c0 00 00 66 ba 80 00 f3 6e', at: 14, exit: 'IO_INSTRUCTION', length: 2, set: primary(PRIMARY.UNCONDITIONAL_IO_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: (1 << 4) | (1 << 5) | (0x80 << 16), VMX_INSTRUCTION_INFO: (2 << 7) | (3 << 15), GUEST_LINEAR_ADDRESS: 0xc000 } },
  { name: 'INSW', code: 'bf 00 c0 00 00 66 ba 80 00 66 6d', at: 9, exit: 'IO_INSTRUCTION', length: 2, set: primary(PRIMARY.UNCONDITIONAL_IO_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 1 | (1 << 3) | (1 << 4) | (0x80 << 16), VMX_INSTRUCTION_INFO: 2 << 7, GUEST_LINEAR_ADDRESS: 0xc000 } },
  { name: 'RDMSR by bitmap', code: 'b9 77 02 00 00 0f 32', at: 5, exit: 'MSR_READ', length: 2, set: bitmap(AT.msrBitmap, 0x277), conditional: true },
  { name: 'RDMSR of a high MSR', code: 'b9 81 00 00 c0 0f 32', at: 5, exit: 'MSR_READ', length: 2, set: bitmap(AT.msrBitmap + 0x400, 0x81), conditional: true },
  { name: 'WRMSR by bitmap', code: 'b9 74 01 00 00 0f 30', at: 5, exit: 'MSR_WRITE', length: 2, set: bitmap(AT.msrBitmap + 0x800, 0x174), conditional: true },
  { name: 'WRMSR of a high MSR', code: 'b9 02 01 00 c0 31 c0 31 d2 0f 30', at: 9, exit: 'MSR_WRITE', length: 2, set: bitmap(AT.msrBitmap + 0xc00, 0x102), conditional: true },
  { name: 'RDMSR beyond the bitmaps', code: 'b9 00 00 00 40 0f 32', at: 5, exit: 'MSR_READ', length: 2 },
  { name: 'SGDT [RSP+8]', code: '0f 01 44 24 08', exit: 'GDTR_IDTR', length: 5, set: secondary(SECONDARY.DESCRIPTOR_TABLE_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 8, VMX_INSTRUCTION_INFO: ((2 << 7) | (2 << 15) | (1 << 22) | (4 << 23)) >>> 0 } },
  { name: 'LIDT [absolute]', code: `0f 01 1c 25 ${OPERAND}`, exit: 'GDTR_IDTR', length: 8, set: secondary(SECONDARY.DESCRIPTOR_TABLE_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 0xc000, VMX_INSTRUCTION_INFO: ((2 << 7) | (3 << 15) | (1 << 22) | (1 << 27) | (3 << 28)) >>> 0 } },
  { name: 'STR EAX', code: '0f 00 c8', exit: 'LDTR_TR', length: 3, set: secondary(SECONDARY.DESCRIPTOR_TABLE_EXITING), conditional: true, fields: { EXIT_QUALIFICATION: 0, VMX_INSTRUCTION_INFO: (1 << 10) | (1 << 28) } },
  { name: 'LLDT [RIP+10h]', code: '0f 00 15 10 00 00 00', exit: 'LDTR_TR', length: 7, set: secondary(SECONDARY.DESCRIPTOR_TABLE_EXITING), fields: { EXIT_QUALIFICATION: AT.guestCode + 7 + 0x10, VMX_INSTRUCTION_INFO: ((2 << 7) | (3 << 15) | (1 << 22) | (1 << 27) | (2 << 28)) >>> 0 } },
  { name: 'INVPCID', code: `66 0f 38 82 04 25 ${OPERAND}`, exit: 'INVPCID', length: 10, set: (b) => b.primary(PRIMARY.INVLPG_EXITING).secondary(SECONDARY.ENABLE_INVPCID), fields: { EXIT_QUALIFICATION: 0xc000, VMX_INSTRUCTION_INFO: (2 << 7) | (3 << 15) | (1 << 22) | (1 << 27) } },
  { name: 'VMCALL', code: '0f 01 c1', exit: 'VMCALL', length: 3 },
  { name: 'VMXOFF', code: '0f 01 c4', exit: 'VMOFF', length: 3 },
  { name: 'VMLAUNCH', code: '0f 01 c2', exit: 'VMLAUNCH', length: 3 },
  { name: 'VMRESUME', code: '0f 01 c3', exit: 'VMRESUME', length: 3 },
  { name: 'VMXON', code: `f3 0f c7 34 25 ${OPERAND}`, exit: 'VMON', length: 9, fields: { EXIT_QUALIFICATION: 0xc000, VMX_INSTRUCTION_INFO: (2 << 7) | (3 << 15) | (1 << 22) | (1 << 27) } },
  { name: 'VMPTRLD [RAX+RCX*4-8]', code: '0f c7 74 88 f8', exit: 'VMPTRLD', length: 5, fields: { EXIT_QUALIFICATION: 0xfffffff8, VMX_INSTRUCTION_INFO: 2 | (2 << 7) | (3 << 15) | (1 << 18) } },
  { name: 'VMPTRST', code: `0f c7 3c 25 ${OPERAND}`, exit: 'VMPTRST', length: 8, fields: { EXIT_QUALIFICATION: 0xc000 } },
  { name: 'VMCLEAR', code: `66 0f c7 34 25 ${OPERAND}`, exit: 'VMCLEAR', length: 9, fields: { EXIT_QUALIFICATION: 0xc000 } },
  { name: 'VMREAD RAX, RCX', code: '0f 78 c8', exit: 'VMREAD', length: 3, fields: { EXIT_QUALIFICATION: 0, VMX_INSTRUCTION_INFO: (1 << 10) | (1 << 28) } },
  { name: 'VMWRITE RDX, [memory]', code: `0f 79 14 25 ${OPERAND}`, exit: 'VMWRITE', length: 8, fields: { EXIT_QUALIFICATION: 0xc000, VMX_INSTRUCTION_INFO: ((2 << 7) | (3 << 15) | (1 << 22) | (1 << 27) | (2 << 28)) >>> 0 } },
  { name: 'INVEPT', code: `66 0f 38 80 1c 25 ${OPERAND}`, exit: 'INVEPT', length: 10, fields: { EXIT_QUALIFICATION: 0xc000, VMX_INSTRUCTION_INFO: ((2 << 7) | (3 << 15) | (1 << 22) | (1 << 27) | (3 << 28)) >>> 0 } },
  { name: 'INVVPID', code: `66 0f 38 81 04 25 ${OPERAND}`, exit: 'INVVPID', length: 10, fields: { EXIT_QUALIFICATION: 0xc000 } },
];

describe('exits of instructions', () => {
  for (const { name, code, at = 0, exit, length, set, fields = {}, conditional } of CASES) {
    it(name, () => {
      bench.reset();
      set?.(bench);
      assert.equal(bench.launch(`${code} 0f a2`), exit);
      assert.equal(bench.get('GUEST_RIP'), AT.guestCode + at);
      assert.equal(bench.get('VM_EXIT_INSTRUCTION_LEN'), length);
      assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0);
      for (const [field, value] of Object.entries(fields))
        assert.equal(bench.get(field as FieldName), value >>> 0, field);
      assert.equal(bench.get('GUEST_RFLAGS') & 0x10000, 0, 'RF');
    });
    if (conditional === true) {
      it(`${name} without the control goes on`, () => {
        assert.equal(bench.reset().launch(`${code} 0f a2`), 'CPUID');
        assert.equal(bench.get('GUEST_RIP'), AT.guestCode + hex(code).length);
      });
    }
  }
});

describe('instructions that non-root operation changes', () => {
  it('RDTSCP, INVPCID and XSAVES are undefined unless they are enabled', () => {
    for (const code of ['0f 01 f9', `66 0f 38 82 04 25 ${OPERAND}`, `0f c7 2c 25 ${OPERAND}`]) {
      bench.reset().set('EXCEPTION_BITMAP', 1 << 6);
      assert.equal(bench.launch(code), 'EXCEPTION_NMI', code);
      assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0x80000306);
      assert.equal(bench.get('GUEST_RIP'), AT.guestCode);
    }
  });
  it('without "enable RDTSCP" RDPID is undefined as well, and RDTSCP at CPL 3 before CR4.TSD forbids it', () => {
    const atCpl3 = (): void => {
      bench.set('GUEST_CR4', bench.get('GUEST_CR4') | 4);
      bench.set('GUEST_CS_AR_BYTES', 0xa0fb).set('GUEST_SS_AR_BYTES', 0xc0f3);
      bench.set('GUEST_CS_SELECTOR', 0x33).set('GUEST_SS_SELECTOR', 0x2b);
    };
    for (const [code, user] of [
      ['f3 0f c7 f8', false],
      ['0f 01 f9', true],
    ] as const) {
      // prettier-ignore
      bench.reset().set('EXCEPTION_BITMAP', 1 << 6 | 1 << 13);
      if (user) atCpl3();
      assert.equal(bench.launch(code), 'EXCEPTION_NMI', code);
      assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0x80000306);
    }
    bench
      .reset()
      .secondary(SECONDARY.ENABLE_RDTSCP)
      .set('EXCEPTION_BITMAP', 1 << 13);
    atCpl3();
    assert.equal(bench.launch('0f 01 f9'), 'EXCEPTION_NMI');
    assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0x80000b0d);
    assert.equal(bench.reset().secondary(SECONDARY.ENABLE_RDTSCP).launch('f3 0f c7 f8 0f a2'), 'CPUID');
  });
  it('a CR3-target value does not exit', () => {
    bench.reset().primary(PRIMARY.CR3_LOAD_EXITING).set('CR3_TARGET_COUNT', 2).set('CR3_TARGET_VALUE1', AT.pageTables);
    assert.equal(bench.launch('b8 00 00 01 00 0f 22 d8 0f a2'), 'CPUID');
  });
  it('reads of CR0 and CR4 show the shadow where the host owns', () => {
    bench
      .reset()
      .set('CR4_GUEST_HOST_MASK', 0x2000)
      .set('CR4_READ_SHADOW', 0)
      .set('CR0_GUEST_HOST_MASK', 8)
      .set('CR0_READ_SHADOW', 8);
    assert.equal(bench.launch('0f 20 e0 0f 20 c1 0f a2'), 'CPUID');
    assert.equal(bench.cpu.reg32(RAX) & 0x2000, 0);
    assert.equal(bench.cpu.reg32(RCX) & 8, 8);
    assert.equal(bench.get('GUEST_CR4') & 0x2000, 0x2000);
  });
  it('CLTS changes nothing when the host owns TS and shows 0', () => {
    bench.reset().set('CR0_GUEST_HOST_MASK', 8).set('CR0_READ_SHADOW', 0).or('GUEST_CR0', 8);
    assert.equal(bench.launch('0f 06 0f a2'), 'CPUID');
    assert.equal(bench.get('GUEST_CR0') & 8, 8);
  });
  it('CR0 and CR4 obey the fixed bits: #GP', () => {
    for (const code of ['0f 20 c0 83 e0 df 0f 22 c0', '0f 20 e0 0f ba f0 0d 0f 22 e0']) {
      bench.reset().set('EXCEPTION_BITMAP', 1 << 13);
      assert.equal(bench.launch(code), 'EXCEPTION_NMI', code);
      assert.equal(bench.get('VM_EXIT_INTR_INFO'), 0x80000b0d);
      assert.equal(bench.get('VM_EXIT_INTR_ERROR_CODE'), 0);
    }
  });
  it('RDTSC is scaled, then offset', () => {
    bench.reset().primary(PRIMARY.USE_TSC_OFFSETTING).secondary(SECONDARY.USE_TSC_SCALING);
    bench.set('TSC_MULTIPLIER', 0, 0x20000).set('TSC_OFFSET', 0xfffffff0, 0xffffffff);
    bench.cpu.environment.tsc.write(0x1000, 0);
    assert.equal(bench.launch('0f 31 0f a2'), 'CPUID');
    const value = bench.cpu.reg32(RAX);
    assert.ok(value >= 0x2000 - 16 && value < 0x2000 + 16, value.toString(16));
    assert.equal(bench.cpu.reg32(RDX), 0);
  });
  it('RDTSC is offset modulo 2^64, and only for the guest', () => {
    const read = (): bigint => (bench.cpu.reg64(RDX) << 32n) | bench.cpu.reg64(RAX);
    for (const offset of [5n, -5n, 2n ** 40n, -(2n ** 40n), 2n ** 52n + 1n, 2n ** 63n]) {
      bench.reset().primary(PRIMARY.USE_TSC_OFFSETTING);
      bench.set('TSC_OFFSET', Number(offset & 0xffffffffn), Number((offset >> 32n) & 0xffffffffn));
      bench.cpu.environment.tsc.write(0, 1);
      bench.host('0f 31');
      const before = read();
      assert.equal(bench.launch('0f 31 0f a2'), 'CPUID');
      const past = BigInt.asIntN(64, read() - before - offset);
      assert.ok(past > 0 && past < 20, `${offset}: ${past}`);
      bench.host('0f 31');
      assert.ok(read() - before < 40n);
    }
  });
  it('RDTSC, RDTSCP and PAUSE exit or not as the controls of the last entry say', () => {
    const RDTSC = '0f 31 0f a2';
    const RDTSCP = '0f 01 f9 0f a2';
    const PAUSE = 'f3 90 0f a2';
    for (const code of [RDTSC, PAUSE]) assert.equal(bench.reset().launch(code), 'CPUID');
    assert.equal(
      bench
        .reset()
        .set('EXCEPTION_BITMAP', 1 << 6)
        .launch(RDTSCP),
      'EXCEPTION_NMI',
    );
    assert.equal(bench.reset().secondary(SECONDARY.ENABLE_RDTSCP).launch(RDTSCP), 'CPUID');
    bench.set('GUEST_RIP', AT.guestCode).primary(PRIMARY.RDTSC_EXITING);
    assert.equal(bench.resume(), 'RDTSCP');
    assert.equal(bench.reset().primary(PRIMARY.RDTSC_EXITING).launch(RDTSC), 'RDTSC');
    assert.equal(bench.reset().primary(PRIMARY.PAUSE_EXITING).launch(PAUSE), 'PAUSE_INSTRUCTION');
    assert.equal(bench.cpu.passing, 0, 'root operation');
  });
  it('PAUSE in a loop exits after the window', () => {
    bench.reset().secondary(SECONDARY.PAUSE_LOOP_EXITING).set('PLE_GAP', 10).set('PLE_WINDOW', 100);
    assert.equal(bench.launch('f3 90 eb fc'), 'PAUSE_INSTRUCTION');
    assert.ok(bench.cpu.ticks > 100 && bench.cpu.ticks < 120);
    bench.reset().secondary(SECONDARY.PAUSE_LOOP_EXITING).set('PLE_GAP', 1).set('PLE_WINDOW', 100);
    assert.equal(bench.launch(`b9 ff 00 00 00 f3 90 90 90 ff c9 75 f8 0f a2`), 'CPUID');
  });
  it('CR8 is the virtual task priority with a TPR shadow', () => {
    bench.reset().primary(PRIMARY.USE_TPR_SHADOW);
    assert.equal(bench.launch('b8 09 00 00 00 44 0f 22 c0 44 0f 20 c1 0f a2'), 'CPUID');
    assert.equal(bench.cpu.reg32(RCX), 9);
    assert.equal(bench.peek64(AT.virtualApic + 0x80) & 0xffffffffn, 0x90n);
    assert.equal(bench.apic.cr8, 0);
  });
  it('CR8 below the threshold exits as a trap', () => {
    bench.reset().primary(PRIMARY.USE_TPR_SHADOW).set('TPR_THRESHOLD', 5);
    bench.poke(AT.virtualApic + 0x80, [0x90]);
    assert.equal(bench.launch('b8 03 00 00 00 44 0f 22 c0 0f a2'), 'TPR_BELOW_THRESHOLD');
    assert.equal(bench.get('GUEST_RIP'), AT.guestCode + 9);
    assert.equal(bench.peek64(AT.virtualApic + 0x80) & 0xffn, 0x30n);
  });
});
