// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compose } from '../../arch/vmx/bit-field.ts';
import { IO_INSTRUCTION } from '../../arch/vmx/qualifications.ts';
import { encodeInsOuts } from '../../arch/vmx/instruction-information.ts';
import { CODE, DEVICE, ECAM, Fixture, fakeHooks } from '../l0-fixture.testing.ts';

const [RAX, RCX, RDX, RBX, RSI, RDI] = [0, 1, 2, 3, 6, 7];
const GP = { vector: 13, type: 3, errorCode: 0 };
const UD = { vector: 6, type: 3 };

function cpuid(fixture: Fixture, leaf: number, subleaf = 0): number[] {
  const { general } = fixture.processor;
  general[RAX] = BigInt(leaf) | (0xffn << 40n);
  general[RCX] = BigInt(subleaf);
  fixture.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
  return [RAX, RBX, RCX, RDX].map((register) => Number(general[register]));
}

describe('CPUID', () => {
  it('shows the machine without a sign of L0, without VMX unless it is nested, without MONITOR', () => {
    const fixture = new Fixture();
    const [eax, ebx, ecx, edx] = cpuid(fixture, 1);
    assert.equal(ecx & 0x80000000, 0, 'no hypervisor bit');
    assert.equal(ecx & 0x28, 0, 'neither VMX nor MONITOR');
    assert.ok(edx & 0x200, 'a local APIC');
    assert.ok(eax > 0 && ebx >= 0);
    assert.deepEqual([fixture.vcpu.rip, fixture.processor.ticks], [CODE + 2, 1]);
    assert.deepEqual(cpuid(fixture, 0x40000000), cpuid(fixture, 0x1f), 'no hypervisor leaves');
    const nested = new Fixture('modern-1', { l0: { nested: () => fakeHooks() } });
    assert.ok(cpuid(nested, 1)[2] & 0x20);
  });

  it('follows what L1 does: the APIC disabled, CR4.OSXSAVE', () => {
    const fixture = new Fixture();
    fixture.vcpu.localApic.writeMsr(0x1b, 0xfee00000 | 0x100, 0);
    fixture.processor.set('GUEST_CR4', 0x42020);
    const [, , ecx, edx] = cpuid(fixture, 1);
    assert.deepEqual([edx & 0x200, ecx & (1 << 27)], [0, 1 << 27]);
  });

  it('hides what the paper profile cannot give a guest', () => {
    const bits = (profile: 'paper-1' | 'modern-1') => {
      const fixture = new Fixture(profile);
      return [
        cpuid(fixture, 0x80000001)[3] & (1 << 27),
        cpuid(fixture, 7)[1] & (1 << 10),
        cpuid(fixture, 7)[2] & (1 << 22),
        cpuid(fixture, 0xd, 1)[0] & 8,
      ].map((bit) => bit !== 0);
    };
    assert.deepEqual(bits('modern-1'), [true, true, true, true]);
    assert.deepEqual(bits('paper-1'), [false, false, false, false]);
  });
});

const io = (port: number, width: 1 | 2 | 4, input: boolean, more: object = {}): number =>
  compose(IO_INSTRUCTION, { PORT: port, SIZE_MINUS_1: width - 1, DIRECTION: input ? 1 : 0, ...more });

describe('port I/O', () => {
  it('IN writes AL, AX, or all of RAX; OUT writes as much', () => {
    const whole = new Fixture();
    whole.device.bytes.set([0x11, 0x22, 0x33, 0x44], 0x10);
    for (const [width, expected] of [
      [1, 0xaabbccddeeff0011n],
      [2, 0xaabbccddeeff2211n],
      [4, 0x44332211n],
    ] as const) {
      whole.processor.general[RAX] = 0xaabbccddeeff0000n;
      whole.exit('IO_INSTRUCTION', { EXIT_QUALIFICATION: io(0xe10, width, true), VM_EXIT_INSTRUCTION_LEN: 1 });
      assert.equal(whole.processor.general[RAX], expected);
    }
    whole.processor.general[RAX] = 0xffffffff_87654321n;
    for (const width of [1, 2, 4] as const)
      whole.exit('IO_INSTRUCTION', { EXIT_QUALIFICATION: io(0xe20, width, false), VM_EXIT_INSTRUCTION_LEN: 1 });
    assert.deepEqual(whole.device.log.slice(3), ['write 20 1 21', 'write 20 2 4321', 'write 20 4 87654321']);
    assert.deepEqual([whole.vcpu.rip, whole.processor.ticks], [CODE + 6, 6]);
  });

  it('what no device claims reads as ones', () => {
    const fixture = new Fixture();
    fixture.exit('IO_INSTRUCTION', { EXIT_QUALIFICATION: io(0xed0 - 0x200, 4, true), VM_EXIT_INSTRUCTION_LEN: 1 });
    assert.equal(fixture.processor.general[RAX], 0xffffffffn);
  });

  const string = (
    fixture: Fixture,
    input: boolean,
    linear: number,
    rep: boolean,
    width: 1 | 2 | 4 = 2,
    addressSize: 32 | 64 = 64,
  ) =>
    fixture.exit('IO_INSTRUCTION', {
      EXIT_QUALIFICATION: io(0xe10, width, input, { STRING: 1, REP: rep ? 1 : 0 }),
      GUEST_LINEAR_ADDRESS: linear,
      VMX_INSTRUCTION_INFO: encodeInsOuts(addressSize, 3),
      VM_EXIT_INSTRUCTION_LEN: 3,
    });

  it('REP OUTS sends one element for each exit, counts each, and moves on only after the last', () => {
    const fixture = new Fixture();
    fixture.put(0x300ff0, [1, 2, 3, 4]);
    fixture.processor.general[RSI] = 0x300ff0n;
    fixture.processor.general[RCX] = 2n;
    string(fixture, false, 0x300ff0, true);
    assert.deepEqual(
      [fixture.vcpu.rip, fixture.processor.general[RSI], fixture.processor.general[RCX], fixture.processor.ticks],
      [CODE, 0x300ff2n, 1n, 1],
    );
    string(fixture, false, 0x300ff2, true);
    assert.deepEqual([fixture.vcpu.rip, fixture.processor.general[RCX], fixture.processor.ticks], [CODE + 3, 0n, 2]);
    assert.deepEqual(fixture.device.log, ['write 10 2 201', 'write 10 2 403']);
  });

  it("INS goes down with DF, over a page border, and writes L1's memory wherever it lies", () => {
    const fixture = new Fixture('modern-1', { permute: 5 });
    fixture.device.bytes.set([0xaa, 0xbb, 0xcc, 0xdd], 0x10);
    fixture.processor.general[RDI] = 0x1003ffffen;
    fixture.vcpu.rflags |= 0x400;
    string(fixture, true, 0x3ffffe, false, 4, 32);
    assert.deepEqual(fixture.bytesAt(0x3ffffe, 4), [0xaa, 0xbb, 0xcc, 0xdd]);
    assert.equal(fixture.processor.general[RDI], 0x3ffffan, 'as wide as the address size');
  });

  it('INS to a page that is not there faults before the port is read', () => {
    const fixture = new Fixture();
    fixture.put(0x10000 + 0x2000 + 8, [0]);
    fixture.processor.general[RDI] = 0x200010n;
    string(fixture, true, 0x200010, false);
    assert.deepEqual(fixture.injected, { vector: 14, type: 3, errorCode: 2 });
    assert.equal(fixture.processor.unsaved.get('cr2'), 0x200010n);
    assert.deepEqual([fixture.device.log, fixture.vcpu.rip], [[], CODE]);
  });
});

describe('other instructions', () => {
  it('XSETBV takes x87 with or without SSE, and nothing else', () => {
    const fixture = new Fixture();
    const { general, unsaved } = fixture.processor;
    const run = (index: bigint, low: bigint, high = 0n) => {
      [general[RCX], general[RAX], general[RDX]] = [index, low, high];
      fixture.exit('XSETBV', { VM_EXIT_INSTRUCTION_LEN: 3 });
      return fixture.injected;
    };
    assert.equal(run(0n, 3n), undefined);
    assert.equal(unsaved.get('xcr0'), 3n);
    for (const [index, low, high] of [
      [0n, 2n, 0n],
      [0n, 7n, 0n],
      [1n, 3n, 0n],
      [0n, 3n, 1n],
    ])
      assert.deepEqual(run(index, low, high), GP);
    assert.equal(unsaved.get('xcr0'), 3n);
  });

  for (const reason of ['INVD', 'WBINVD'] as const) {
    it(`${reason} does nothing`, () => {
      const fixture = new Fixture();
      fixture.exit(reason, { VM_EXIT_INSTRUCTION_LEN: 2 });
      assert.deepEqual([fixture.vcpu.rip, fixture.injected], [CODE + 2, undefined]);
    });
  }

  for (const reason of [
    'MWAIT_INSTRUCTION',
    'MONITOR_INSTRUCTION',
    'VMCALL',
    'VMON',
    'VMREAD',
    'INVEPT',
    'VMFUNC',
    'GETSEC',
  ] as const) {
    it(`${reason} is #UD without nested VMX`, () => {
      const fixture = new Fixture();
      fixture.exit(reason, { VM_EXIT_INSTRUCTION_LEN: 3 });
      assert.deepEqual([fixture.vcpu.rip, fixture.injected, fixture.processor.ticks], [CODE, UD, 1]);
    });
  }

  it("VMX instructions are nested VMX's, which may complete them or not", () => {
    const seen: number[] = [];
    const fixture = new Fixture('modern-1', {
      l0: {
        nested: () => fakeHooks({ vmxInstruction: (vcpu, reason) => (seen.push(reason), vcpu.completeInstruction()) }),
      },
    });
    fixture.exit('VMLAUNCH', { VM_EXIT_INSTRUCTION_LEN: 3 });
    assert.deepEqual([seen, fixture.vcpu.rip], [[20], CODE + 3]);
  });

  it('a triple fault ends L1', () => {
    const fixture = new Fixture();
    assert.equal(fixture.exit('TRIPLE_FAULT'), 'halt');
    assert.deepEqual(fixture.ends, ['shutdown 0']);
    assert.equal(fixture.l0.kicked(fixture.processor), 'halt');
  });

  it('a hardware task switch is a message to the user', () => {
    assert.throws(() => new Fixture().exit('TASK_SWITCH'), /switches tasks by hardware/);
  });

  it('an exit that vmcs01 cannot cause is a bug of ours, and so is a failed entry', () => {
    const fixture = new Fixture();
    assert.throws(() => fixture.exit('PAUSE_INSTRUCTION'), /L0 serves exits by PAUSE/);
    fixture.processor.set('GUEST_RFLAGS', 0);
    assert.throws(() => fixture.l0.entryFailed(fixture.processor, 7), /VM-instruction error 7.*guest\.rflags/i);
    fixture.processor.set('VM_EXIT_REASON', 0x80000021);
    assert.throws(() => fixture.l0.exit(fixture.processor), /exit reason 33/);
  });

  it('RIP wraps at 4 GiB outside 64-bit mode, and does not in it', () => {
    const fixture = new Fixture();
    fixture.processor.set('GUEST_RIP', 0xfffffffe);
    fixture.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.equal(fixture.vcpu.rip, 0x1_0000_0000);
    fixture.processor.set('GUEST_CS_AR_BYTES', 0xc09b);
    fixture.processor.set('GUEST_RIP', 0xfffffffe);
    fixture.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.equal(fixture.vcpu.rip, 0);
  });

  it('a completed instruction ends STI and MOV SS blocking, clears RF, and steps when TF is set', () => {
    const fixture = new Fixture();
    fixture.processor.set('GUEST_INTERRUPTIBILITY_INFO', 1);
    fixture.processor.set('GUEST_RFLAGS', 0x10102);
    fixture.exit('CPUID', { VM_EXIT_INSTRUCTION_LEN: 2 });
    assert.deepEqual(
      [
        fixture.processor.get('GUEST_INTERRUPTIBILITY_INFO'),
        fixture.vcpu.rflags,
        fixture.processor.get('GUEST_PENDING_DBG_EXCEPTIONS'),
      ],
      [0n, 0x102, 0x4000n],
    );
  });
});

describe('device memory', () => {
  const EMPTY = ECAM - 0x1000;

  it('EPT violation at a device: the instruction is done on it', () => {
    const fixture = new Fixture();
    fixture.put(CODE, [0xc7, 0x03, 0x78, 0x56, 0x34, 0x12]); // mov dword [rbx], 12345678h
    fixture.processor.general[RBX] = BigInt(DEVICE + 0x10);
    fixture.exit('EPT_VIOLATION', {
      EXIT_QUALIFICATION: 0x182,
      GUEST_PHYSICAL_ADDRESS: DEVICE + 0x10,
      GUEST_LINEAR_ADDRESS: DEVICE + 0x10,
    });
    assert.deepEqual(
      [fixture.device.log, fixture.vcpu.rip, fixture.processor.ticks],
      [['write 10 4 12345678'], CODE + 6, 1],
    );
  });

  it('EPT violation where nothing is: ones are read, writes vanish', () => {
    const fixture = new Fixture();
    fixture.put(CODE, [0x8b, 0x03]); // mov eax, [rbx]
    fixture.processor.general[RBX] = BigInt(EMPTY);
    fixture.exit('EPT_VIOLATION', { EXIT_QUALIFICATION: 0x181, GUEST_PHYSICAL_ADDRESS: EMPTY });
    assert.equal(fixture.processor.general[RAX], 0xffffffffn);
  });

  it('APIC access: the local APIC of this processor, in xAPIC mode only', () => {
    const fixture = new Fixture();
    fixture.put(CODE, [0x89, 0x03]); // mov [rbx], eax
    fixture.processor.general[RBX] = 0xfee00080n;
    fixture.processor.general[RAX] = 0x30n;
    fixture.exit('APIC_ACCESS', { EXIT_QUALIFICATION: 0x1080 });
    assert.equal(fixture.vcpu.localApic.taskPriority, 0x30);
    fixture.put(CODE + 2, [0x8b, 0x0b]); // mov ecx, [rbx]
    fixture.exit('APIC_ACCESS', { EXIT_QUALIFICATION: 0x80 });
    assert.equal(fixture.processor.general[RCX], 0x30n);
    fixture.vcpu.localApic.writeMsr(0x1b, 0xfee00d00, 0);
    fixture.put(CODE + 4, [0x8b, 0x0b]);
    fixture.exit('APIC_ACCESS', { EXIT_QUALIFICATION: 0x80 });
    assert.equal(fixture.processor.general[RCX], 0xffffffffn);
  });

  it('a local APIC that moved is found where it is', () => {
    const fixture = new Fixture();
    fixture.vcpu.localApic.writeMsr(0x1b, 0xc0000900, 0);
    fixture.put(CODE, [0x8b, 0x0b]);
    fixture.processor.general[RBX] = 0xc0000030n;
    fixture.exit('EPT_VIOLATION', { EXIT_QUALIFICATION: 0x181, GUEST_PHYSICAL_ADDRESS: 0xc0000030 });
    assert.equal(fixture.processor.general[RCX] & 0xffn, 0x14n, 'the version register');
  });

  it('an event that cannot be delivered because its stack is a device ends L1', () => {
    const fixture = new Fixture();
    fixture.exit('EPT_VIOLATION', {
      EXIT_QUALIFICATION: 0x182,
      GUEST_PHYSICAL_ADDRESS: DEVICE,
      IDT_VECTORING_INFO_FIELD: 0x80000030,
    });
    assert.deepEqual(fixture.ends, ['shutdown 0']);
  });

  it('blocks NMIs again when it is IRET that has to be repeated', () => {
    const fixture = new Fixture();
    fixture.put(CODE, [0x8b, 0x03]);
    fixture.processor.general[RBX] = BigInt(EMPTY);
    fixture.exit('EPT_VIOLATION', { EXIT_QUALIFICATION: 0x1181, GUEST_PHYSICAL_ADDRESS: EMPTY });
    assert.equal(fixture.processor.get('GUEST_INTERRUPTIBILITY_INFO'), 8n);
  });
});
