// SPDX-License-Identifier: Apache-2.0
// L0's fixture with an L1 in VMX operation: tests execute L1's VMX instructions by their exits, and make L2 exit.

import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { exampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import type { ExampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { ENCODING, FIELDS, OFFSET } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { encodeInvalidate, encodeMemoryOperand, encodeVmreadVmwrite } from '../../arch/vmx/instruction-information.ts';
import type { ProfileName } from '../../arch/vmx/profiles.ts';
import { assert } from '../../base/assert.ts';
import type { ExitReasonName } from '../../arch/vmx/exit-reasons.ts';
import type { Recorder } from '../../trace/recorder.ts';
import type { FakeProcessor } from '../fake-machine.testing.ts';
import { Fixture } from '../l0-fixture.testing.ts';
import type { Vcpu } from '../vcpu.ts';
import { presetMsr } from '../msrs.ts';
import type { NestedVcpu } from './nested-vcpu.ts';
import { NestedVmx } from './nested-vmx.ts';
import type { NestedOptions } from './nested-vmx.ts';

export const VMXON_REGION = 0x300000;
export const REGION = 0x301000;
export const OTHER_REGION = 0x302000;
export const OPERAND = 0x310000;
const [RAX, RBX, RCX] = [0, 3, 1];
const DS = 3;
const LENGTH = 4;
const FLAGS = 0x8d5;

/** How a VMX instruction of L1 ended. */
export type Outcome = 'succeed' | 'fail invalid' | `fail ${number}` | `#${number}` | 'L2' | 'host';

export class NestedFixture {
  readonly fixture: Fixture;
  readonly nested: NestedVmx;
  readonly revision: number;

  constructor(profile: ProfileName = 'modern-1', options: NestedOptions & { readonly recorder?: Recorder } = {}) {
    let nested: NestedVmx | undefined;
    this.fixture = new Fixture(profile, {
      permute: 7,
      l0: {
        ...(options.recorder === undefined ? {} : { recorder: options.recorder }),
        nested: (host) => {
          for (const { processor } of host.vcpus) acceptShadowVmcs(processor as FakeProcessor);
          return (nested = new NestedVmx(host, options));
        },
      },
    });
    assert(nested !== undefined, 'L0 has made nested VMX');
    this.nested = nested;
    this.revision = this.processor.capabilities.IA32_VMX_BASIC?.low ?? 0;
    presetMsr(this.vcpu, 0x3a, 5n);
    this.processor.set('CR4_READ_SHADOW', this.processor.get('CR4_READ_SHADOW') | 0x2000n);
    this.processor.set('CR0_READ_SHADOW', this.processor.get('CR0_READ_SHADOW') | 0x20n);
    for (const region of [VMXON_REGION, REGION, OTHER_REGION]) this.put32(region, this.revision);
  }

  get processor(): FakeProcessor {
    return this.fixture.processor;
  }
  get vcpu(): Vcpu {
    return this.fixture.vcpu;
  }
  get nestedVcpu(): NestedVcpu {
    return this.nested.of(this.vcpu);
  }
  runsL2(): boolean {
    return this.vcpu.state.level === 2;
  }
  put32(address: number, value: number): void {
    this.fixture.l0.l1.memory.write32(address, value >>> 0);
  }
  get32(address: number): number {
    return this.fixture.l0.l1.memory.read32(address);
  }
  put64(address: number, value: bigint): void {
    this.put32(address, Number(value & 0xffffffffn));
    this.put32(address + 4, Number((value >> 32n) & 0xffffffffn));
  }
  /** A field of vmcs12 as L0 has it. */
  get12(name: FieldName): bigint {
    const { vmcs12 } = this.nestedVcpu;
    return (BigInt(vmcs12.high(OFFSET[name])) << 32n) | BigInt(vmcs12.low(OFFSET[name]));
  }

  // --- L1's instructions

  /** An instruction of L1 that exited; what it came to. */
  execute(reason: ExitReasonName, information: { readonly [Name in FieldName]?: bigint | number } = {}): Outcome {
    const { processor, vcpu } = this;
    assert(!this.runsL2(), 'L1 runs');
    const rip = vcpu.rip;
    this.processor.set('GUEST_RFLAGS', 2n | BigInt(FLAGS));
    this.fixture.exit(reason, { VM_EXIT_INSTRUCTION_LEN: LENGTH, ...information });
    if (this.runsL2()) return 'L2';
    const injected = this.fixture.injected;
    if (injected !== undefined) return `#${injected.vector}`;
    if (vcpu.rip !== rip + LENGTH) return 'host';
    const flags = Number(processor.get('GUEST_RFLAGS')) & FLAGS;
    if (flags === 0) return 'succeed';
    if (flags === 1) return 'fail invalid';
    assert(flags === 0x40, `flags of a VMfailValid, not ${flags.toString(16)}`);
    return `fail ${Number(this.get12('VM_INSTRUCTION_ERROR'))}`;
  }
  /** VMXON, VMCLEAR, VMPTRLD and VMPTRST with [RBX] as their operand, which holds `pointer`. */
  withPointer(reason: 'VMON' | 'VMCLEAR' | 'VMPTRLD' | 'VMPTRST', pointer: number | bigint): Outcome {
    this.put64(OPERAND, BigInt.asUintN(64, BigInt(pointer)));
    this.processor.writeGeneral(RBX, OPERAND, 0);
    return this.execute(reason, {
      VMX_INSTRUCTION_INFO: encodeMemoryOperand({ addressSize: 64, segment: DS, base: RBX }),
    });
  }
  vmread(encoding: number | bigint): { outcome: Outcome; value: bigint } {
    this.processor.general[RCX] = BigInt(encoding);
    const outcome = this.execute('VMREAD', { VMX_INSTRUCTION_INFO: encodeVmreadVmwrite({ register: RAX }, RCX) });
    return { outcome, value: this.processor.general[RAX] };
  }
  vmwrite(encoding: number | bigint, value: bigint | number): Outcome {
    this.processor.general[RCX] = BigInt(encoding);
    this.processor.general[RAX] = BigInt.asUintN(64, BigInt(value));
    return this.execute('VMWRITE', { VMX_INSTRUCTION_INFO: encodeVmreadVmwrite({ register: RAX }, RCX) });
  }
  invalidate(reason: 'INVEPT' | 'INVVPID', type: number | bigint, low: bigint, high = 0n): Outcome {
    this.put64(OPERAND, low);
    this.put64(OPERAND + 8, high);
    this.processor.writeGeneral(RBX, OPERAND, 0);
    this.processor.general[RAX] = BigInt(type);
    return this.execute(reason, {
      VMX_INSTRUCTION_INFO: encodeInvalidate({ addressSize: 64, segment: DS, base: RBX }, RAX),
    });
  }
  /** In VMX operation, with an empty VMCS as the current one. */
  start(region = REGION): this {
    assert(this.withPointer('VMON', VMXON_REGION) === 'succeed', 'VMXON');
    assert(this.withPointer('VMCLEAR', region) === 'succeed', 'VMCLEAR');
    assert(this.withPointer('VMPTRLD', region) === 'succeed', 'VMPTRLD');
    return this;
  }

  // --- L2

  /** The VMCS of `exampleVmcs` as L1 would write it, after `change`. */
  writeExample(change: (vmcs: ExampleVmcs) => void = () => {}): this {
    const example = exampleVmcs(this.nested.capabilities);
    // Where L1's own tables are: an exit loads them.
    example.set('HOST_CR3', 0x10000);
    change(example);
    for (const field of FIELDS) {
      const { name, offset, area } = field;
      const value = (BigInt(example.view.high(offset)) << 32n) | BigInt(example.view.low(offset));
      if (area === 'exitInformation' || value === this.get12(name) || !fieldExists(this.nested.capabilities, field))
        continue;
      assert(this.vmwrite(ENCODING[name], value) === 'succeed', `VMWRITE ${name}`);
    }
    return this;
  }
  /** L2 runs. */
  launch(change: (vmcs: ExampleVmcs) => void = () => {}): this {
    this.start().writeExample(change);
    const outcome = this.execute('VMLAUNCH');
    assert(outcome === 'L2', `VMLAUNCH: ${outcome}`);
    return this;
  }
  /** L2 exits to the hardware's owner; who is entered next. */
  exit(reason: ExitReasonName, information: { readonly [Name in FieldName]?: bigint | number } = {}): 'L1' | 'L2' {
    assert(this.runsL2(), 'L2 runs');
    this.fixture.exit(reason, information);
    return this.runsL2() ? 'L2' : 'L1';
  }
}

/** The fake takes ordinary VMCSs only; this one is of a processor that has VMCS shadowing. */
function acceptShadowVmcs(processor: FakeProcessor): void {
  processor.vmptrld = (vmcs) => {
    processor.currentVmcs = vmcs;
  };
}
