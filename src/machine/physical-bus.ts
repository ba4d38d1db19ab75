// SPDX-License-Identifier: Apache-2.0
import type { DeviceBus } from '../devices/bus.ts';
import type { LocalApic } from '../devices/lapic.ts';
import type { AccessWidth, PhysicalAddress } from '../hardware/memory.ts';
import type { PhysicalBus } from './cpu/processor.ts';

const PAGE = 0x1000;

/** What one processor sees beside RAM: its own local APIC's page, then the devices all share. */
export class ProcessorBus implements PhysicalBus {
  localApic: LocalApic | undefined;
  private readonly devices: DeviceBus;

  constructor(devices: DeviceBus) {
    this.devices = devices;
  }

  readMemory(address: PhysicalAddress, width: AccessWidth): number {
    const apic = this.apicAt(address);
    if (apic !== undefined && width !== 8) return apic.readMemory(address - apic.baseAddress, width);
    return this.devices.readMemory(address, width);
  }
  writeMemory(address: PhysicalAddress, width: AccessWidth, value: number): void {
    const apic = this.apicAt(address);
    if (apic !== undefined && width !== 8) apic.writeMemory(address - apic.baseAddress, width, value);
    else this.devices.writeMemory(address, width, value);
  }
  readPort(port: number, width: 1 | 2 | 4): number {
    return this.devices.readPort(port, width);
  }
  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.devices.writePort(port, width, value);
  }

  private apicAt(address: PhysicalAddress): LocalApic | undefined {
    const apic = this.localApic;
    if (apic === undefined || !apic.memoryMapped) return undefined;
    return address >= apic.baseAddress && address < apic.baseAddress + PAGE ? apic : undefined;
  }
}
