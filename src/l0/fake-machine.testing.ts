// SPDX-License-Identifier: Apache-2.0
// A machine for L0's tests that executes nothing: memory, VMCS regions in it, registers. Tests say which exit happened.

import { assert } from '../base/assert.ts';
import { PROFILES } from '../arch/vmx/profiles.ts';
import type { ProfileName } from '../arch/vmx/profiles.ts';
import { fieldNamed } from '../arch/vmx/fields.ts';
import type { FieldName } from '../arch/vmx/fields.ts';
import type { VmxCapabilities } from '../arch/vmx/capabilities.ts';
import type { Halves, HostMemory, HostPhysical, RootMachine, RootProcessor, UnsavedRegister } from '../hardware/vmx.ts';

const RSP = 4;

export class FakeMemory implements HostMemory {
  readonly view: DataView;
  readonly array: Uint8Array;

  constructor(bytes: number) {
    this.array = new Uint8Array(bytes);
    this.view = new DataView(this.array.buffer);
  }
  get bytes(): number {
    return this.array.length;
  }
  read32(address: HostPhysical): number {
    assert(address + 4 <= this.bytes, `host address ${address.toString(16)}`);
    return this.view.getUint32(address, true);
  }
  write32(address: HostPhysical, value: number): void {
    assert(address + 4 <= this.bytes, `host address ${address.toString(16)}`);
    this.view.setUint32(address, value, true);
  }
  read(address: HostPhysical, bytes: Uint8Array): void {
    bytes.set(this.array.subarray(address, address + bytes.length));
  }
  write(address: HostPhysical, bytes: Uint8Array): void {
    assert(address >= 0 && address + bytes.length <= this.bytes, `host address ${address.toString(16)}`);
    this.array.set(bytes, address);
  }
}

export class FakeProcessor implements RootProcessor {
  readonly index: number;
  readonly capabilities: VmxCapabilities;
  currentVmcs: HostPhysical = -1;
  readonly general = new BigUint64Array(16);
  readonly unsaved = new Map<UnsavedRegister, bigint>();
  ticks = 0;
  kicks = 0;
  /** INVEPT and INVVPID, in order: their names and types. */
  readonly invalidations: string[] = [];
  readonly #memory: FakeMemory;

  constructor(index: number, capabilities: VmxCapabilities, memory: FakeMemory) {
    this.index = index;
    this.capabilities = capabilities;
    this.#memory = memory;
  }
  vmclear(vmcs: HostPhysical): void {
    if (this.currentVmcs === vmcs) this.currentVmcs = -1;
  }
  vmptrld(vmcs: HostPhysical): void {
    assert(
      this.#memory.read32(vmcs) === (this.capabilities.IA32_VMX_BASIC?.low ?? 0),
      'VMPTRLD with the right revision identifier',
    );
    this.currentVmcs = vmcs;
  }
  readLow(offset: number): number {
    return this.#memory.read32(this.currentVmcs + offset);
  }
  readHigh(offset: number): number {
    return this.#memory.read32(this.currentVmcs + offset + 4);
  }
  write(offset: number, low: number, high: number): void {
    this.#memory.write32(this.currentVmcs + offset, low);
    this.#memory.write32(this.currentVmcs + offset + 4, high);
  }
  readGeneral(register: number, out: Halves): void {
    assert(register !== RSP, 'RSP is in the VMCS');
    out.low = Number(this.general[register] & 0xffffffffn);
    out.high = Number(this.general[register] >> 32n);
  }
  writeGeneral(register: number, low: number, high: number): void {
    assert(register !== RSP, 'RSP is in the VMCS');
    this.general[register] = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  }
  readRegister(register: UnsavedRegister, out: Halves): void {
    const value = this.unsaved.get(register) ?? 0n;
    out.low = Number(value & 0xffffffffn);
    out.high = Number(value >> 32n);
  }
  writeRegister(register: UnsavedRegister, low: number, high: number): void {
    this.unsaved.set(register, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  }
  invept(type: 1 | 2): void {
    this.invalidations.push(`INVEPT ${type}`);
  }
  invvpid(type: 0 | 1 | 2 | 3, vpid: number): void {
    this.invalidations.push(`INVVPID ${type} ${vpid}`);
  }
  retire(): void {
    this.ticks++;
  }
  readTsc(out: Halves): void {
    out.low = this.ticks >>> 0;
    out.high = Math.floor(this.ticks / 2 ** 32);
  }
  kick(): void {
    this.kicks++;
  }

  /** A VMCS field by name: 64 bits, unsigned. */
  get(name: FieldName): bigint {
    const { offset } = fieldNamed(name);
    return (BigInt(this.readHigh(offset)) << 32n) | BigInt(this.readLow(offset));
  }
  set(name: FieldName, value: bigint | number): void {
    const wide = BigInt.asUintN(64, BigInt(value));
    this.write(fieldNamed(name).offset, Number(wide & 0xffffffffn), Number(wide >> 32n));
  }
}

export class FakeMachine implements RootMachine {
  readonly memory: FakeMemory;
  readonly processors: readonly FakeProcessor[];

  constructor(bytes: number, profile: ProfileName, processors = 1) {
    this.memory = new FakeMemory(bytes);
    this.processors = Array.from(
      { length: processors },
      (_, index) => new FakeProcessor(index, PROFILES[profile], this.memory),
    );
  }
}
