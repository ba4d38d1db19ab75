// SPDX-License-Identifier: Apache-2.0
import type { TestRouter } from '../pci-fixture.test.ts';
import { testMachine } from '../pci-fixture.test.ts';
import { assignPciResources } from '../pci-resources.ts';
import type { VirtioDevice } from './device.ts';
import { VirtioEntropy } from './entropy.ts';
import { VirtioPci } from './pci-transport.ts';

export const F_INDIRECT = 2 ** 28;
export const F_EVENT_IDX = 2 ** 29;
const STATUS = 0x14;
const [NEXT, WRITE, INDIRECT] = [1, 2, 4];

/** Where the test driver keeps things in RAM. */
const [DESC, AVAIL, USED, TABLE] = [0x1000, 0x2000, 0x3000, 0x4000];
export const BUFFERS = 0x8000;
export const MESSAGE_BASE = 0xfee0_0000;

export interface TestBuffer {
  readonly at: number;
  readonly length: number;
  readonly write?: boolean;
}

/** A driver for queue 0 of a device at slot 1, finding its way by the capabilities as a real one does. */
export class TestDriver {
  readonly transport: VirtioPci;
  readonly machine: ReturnType<typeof testMachine>;
  readonly size: number;
  readonly capabilities = new Map<number, { at: number; bar: number; offset: number; length: number }>();
  #freeDescriptor = 0;
  #available = 0;

  constructor(device: VirtioDevice, size = 8) {
    this.machine = testMachine();
    this.size = size;
    this.transport = new VirtioPci(device);
    this.machine.pci.attach(1, 0, this.transport.function);
    assignPciResources(this.machine.pci);
    this.config(0x04, 2, 0x0006);
    let at = this.config(0x34, 1);
    for (; at !== 0; at = this.config(at + 1, 1)) {
      if (this.config(at, 1) !== 9) continue;
      this.capabilities.set(this.config(at + 3, 1), {
        at,
        bar: this.config(at + 4, 1),
        offset: this.config(at + 8, 4),
        length: this.config(at + 12, 4),
      });
    }
  }

  get interrupts(): TestRouter {
    return this.machine.interrupts;
  }

  get ram(): DataView {
    return new DataView(this.machine.ram.buffer);
  }

  /** Reads PCI configuration space, or writes it when a value is given. */
  config(register: number, width: 1 | 2 | 4, value?: number): number {
    const address = (1 << 11) | register;
    if (value === undefined) return this.machine.pci.readConfig(address, width);
    this.machine.pci.writeConfig(address, width, value);
    return value;
  }

  /** Physical address of a byte of a structure. */
  address(cfgType: number, offset = 0): number {
    const capability = this.capabilities.get(cfgType) ?? { bar: 0, offset: 0 };
    const bar = this.config(0x10 + 4 * capability.bar, 4);
    return bar - (bar % 16) + capability.offset + offset;
  }

  read(cfgType: number, offset: number, width: 1 | 2 | 4): number {
    return this.machine.bus.readMemory(this.address(cfgType, offset), width);
  }

  write(cfgType: number, offset: number, width: 1 | 2 | 4, value: number): void {
    this.machine.bus.writeMemory(this.address(cfgType, offset), width, value);
  }

  get status(): number {
    return this.read(1, STATUS, 1);
  }

  set status(value: number) {
    this.write(1, STATUS, 1, value);
  }

  /** What the device offers, low word and high word. */
  offered(): [number, number] {
    const words = [0, 1].map((word) => {
      this.write(1, 0x00, 4, word);
      return this.read(1, 0x04, 4);
    });
    return [words[0], words[1]];
  }

  negotiate(low: number, high = 1): void {
    this.status = 0;
    this.status = 3;
    for (const [word, bits] of [low, high].entries()) {
      this.write(1, 0x08, 4, word);
      this.write(1, 0x0c, 4, bits);
    }
    this.status = 11;
  }

  setUpQueue(index = 0): void {
    this.write(1, 0x16, 2, index);
    this.write(1, 0x18, 2, this.size);
    for (const [register, area] of [
      [0x20, DESC],
      [0x28, AVAIL],
      [0x30, USED],
    ]) {
      this.write(1, register, 4, area);
      this.write(1, register + 4, 4, 0);
    }
    this.write(1, 0x1c, 2, 1);
  }

  /** Reset to DRIVER_OK. Ring indices start from 0, as a reset queue's do. */
  start(low = 0, high = 1): this {
    this.negotiate(low, high);
    this.machine.ram.fill(0, DESC, TABLE + 0x1000);
    this.#available = 0;
    this.#freeDescriptor = 0;
    this.setUpQueue();
    this.status = 15;
    return this;
  }

  /** Turns MSI-X on with vector 0 for configuration and vector 1 for queue 0. */
  useMessages(): this {
    const table = this.config(0x14, 4);
    for (const vector of [0, 1]) {
      this.machine.bus.writeMemory(table + 16 * vector, 4, MESSAGE_BASE);
      this.machine.bus.writeMemory(table + 16 * vector + 8, 4, 0x40 + vector);
      this.machine.bus.writeMemory(table + 16 * vector + 12, 4, 0);
    }
    let at = this.config(0x34, 1);
    while (this.config(at, 1) !== 0x11) at = this.config(at + 1, 1);
    this.config(at + 2, 2, 0x8000);
    this.write(1, 0x10, 2, 0);
    this.write(1, 0x16, 2, 0);
    this.write(1, 0x1a, 2, 1);
    return this;
  }

  describe(index: number, address: number, length: number, flags: number, next: number, table = DESC): void {
    this.ram.setBigUint64(table + 16 * index, BigInt(address), true);
    this.ram.setUint32(table + 16 * index + 8, length, true);
    this.ram.setUint16(table + 16 * index + 12, flags, true);
    this.ram.setUint16(table + 16 * index + 14, next, true);
  }

  /** Chains buffers in free descriptors; returns the head. */
  chain(buffers: readonly TestBuffer[]): number {
    const head = this.#freeDescriptor;
    for (const [position, { at, length, write }] of buffers.entries()) {
      const last = position === buffers.length - 1;
      const next = (this.#freeDescriptor + 1) % this.size;
      this.describe(this.#freeDescriptor, at, length, (write ? WRITE : 0) | (last ? 0 : NEXT), last ? 0 : next);
      this.#freeDescriptor = next;
    }
    return head;
  }

  /** The same through an indirect table. */
  indirectChain(buffers: readonly TestBuffer[]): number {
    for (const [index, { at, length, write }] of buffers.entries()) {
      const last = index === buffers.length - 1;
      this.describe(index, at, length, (write ? WRITE : 0) | (last ? 0 : NEXT), last ? 0 : index + 1, TABLE);
    }
    this.describe(this.#freeDescriptor, TABLE, 16 * buffers.length, INDIRECT, 0);
    return this.#freeDescriptor++;
  }

  offer(head: number): void {
    this.ram.setUint16(AVAIL + 4 + 2 * (this.#available % this.size), head, true);
    this.#available++;
    this.ram.setUint16(AVAIL + 2, this.#available, true);
  }

  kick(queue = 0): void {
    this.write(2, 4 * queue, 2, queue);
  }

  submit(...buffers: readonly TestBuffer[]): number {
    const head = this.chain(buffers);
    this.offer(head);
    this.kick();
    return head;
  }

  set availFlags(value: number) {
    this.ram.setUint16(AVAIL, value, true);
  }

  set availIndex(value: number) {
    this.ram.setUint16(AVAIL + 2, value, true);
  }

  set usedEvent(value: number) {
    this.ram.setUint16(AVAIL + 4 + 2 * this.size, value, true);
  }

  get availEvent(): number {
    return this.ram.getUint16(USED + 4 + 8 * this.size, true);
  }

  get usedIndex(): number {
    return this.ram.getUint16(USED + 2, true);
  }

  used(index: number): { head: number; length: number } {
    const at = USED + 4 + 8 * (index % this.size);
    return { head: this.ram.getUint32(at, true), length: this.ram.getUint32(at + 4, true) };
  }
}

/** Fills with 1, 2, 3 … */
export function counting(): VirtioEntropy {
  let next = 0;
  return new VirtioEntropy({ fill: (bytes) => bytes.forEach((_, index) => (bytes[index] = ++next)) });
}

/** A buffer for the device to write. */
export const WRITABLE = { at: BUFFERS, length: 4, write: true };
