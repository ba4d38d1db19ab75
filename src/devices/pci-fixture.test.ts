// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { BusMasterPort, MemoryMappedDevice } from '../hardware/memory.ts';
import type { InterruptRouter } from '../hardware/interrupts.ts';
import { DeviceBus } from './bus.ts';
import { PciBus } from './pci.ts';
import { PciFunction } from './pci-function.ts';
import type { PciFunctionDescription } from './pci-function.ts';

/** RAM of a test machine; what lies beyond reads as all ones. */
export class TestMemory implements BusMasterPort {
  readonly requesterId: number;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array, requesterId = 0) {
    this.bytes = bytes;
    this.requesterId = requesterId;
  }

  read(address: number, bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index++) bytes[index] = this.bytes[address + index] ?? 0xff;
  }

  write(address: number, bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index++) this.bytes[address + index] = bytes[index];
  }
}

/** Notes levels of lines, by gsi, and messages. */
export class TestRouter implements InterruptRouter {
  readonly isa: boolean[] = Array.from({ length: 16 }, () => false);
  readonly gsi: boolean[] = Array.from({ length: 24 }, () => false);
  readonly messages: { requesterId: number; address: number; data: number }[] = [];

  isaLine(irq: number) {
    assert.notEqual(irq, 2, 'the cascade is no ISA interrupt');
    return { set: (asserted: boolean) => void (this.isa[irq] = asserted) };
  }

  gsiLine(gsi: number) {
    return { set: (asserted: boolean) => void (this.gsi[gsi] = asserted) };
  }

  message(requesterId: number, address: number, data: number): void {
    this.messages.push({ requesterId, address, data });
  }
}

export const ECAM_BASE = 0xb000_0000;
export const MEMORY_WINDOW = { base: 0xc000_0000, size: 0x3000_0000 };
export const PORT_WINDOW = { base: 0xc000, size: 0x4000 };

/** A bus, RAM and a PCI bus. */
export function testMachine(ramBytes = 0x10_0000) {
  const bus = new DeviceBus();
  const interrupts = new TestRouter();
  const ram = new Uint8Array(ramBytes);
  const pci = new PciBus({
    bus,
    interrupts,
    busMaster: (requesterId) => new TestMemory(ram, requesterId),
    ecam: { base: ECAM_BASE, buses: 256 },
    windows: { ports: PORT_WINDOW, memory: MEMORY_WINDOW },
  });
  return { bus, interrupts, ram, pci };
}

/** Registers of four bytes each, whose values are plain memory. */
export class TestRegisters implements MemoryMappedDevice {
  readonly words = new Uint32Array(0x400);

  readMemory(offset: number): number {
    return this.words[offset >> 2];
  }

  writeMemory(offset: number, _width: number, value: number): void {
    this.words[offset >> 2] = value;
  }
}

export function testFunction(name: string, more: Partial<PciFunctionDescription> = {}): PciFunction {
  return new PciFunction({
    name,
    identity: { vendor: 0x1234, device: 0x5678, revision: 9, classCode: 0x11_2233 },
    ...more,
  });
}

const [CF8, CFC] = [0xcf8, 0xcfc];
type Width = 1 | 2 | 4;

/** Configuration mechanism #1 as software uses it. */
export function configAccess(bus: DeviceBus, slot: number, number = 0) {
  const select = (register: number) => bus.writePort(CF8, 4, 2 ** 31 + (slot << 11) + (number << 8) + (register & ~3));
  return {
    read: (register: number, width: Width) => (select(register), bus.readPort(CFC + (register & 3), width)),
    write: (register: number, width: Width, value: number) => (
      select(register),
      bus.writePort(CFC + (register & 3), width, value)
    ),
  };
}
