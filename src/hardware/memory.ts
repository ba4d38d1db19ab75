// SPDX-License-Identifier: Apache-2.0

/** Guest-physical address of the machine these buses belong to, in bytes; exact below 2^52. */
export type PhysicalAddress = number & { readonly __space?: 'physical' };

/** An access width in bytes on a port or memory-mapped bus. */
export type AccessWidth = 1 | 2 | 4 | 8;

/**
 * A device behind memory-mapped addresses. Offsets are relative to the start of its region.
 * 8-byte accesses are split by the bus into two 4-byte ones (low half first), so a device sees 1, 2 or 4.
 */
export interface MemoryMappedDevice {
  /** Returns the value zero-extended, 0..2^(8*width)-1. */
  readMemory(offset: number, width: 1 | 2 | 4): number;
  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void;
}

/** A device behind I/O ports. `port` is absolute. */
export interface PortDevice {
  /** Returns the value zero-extended. */
  readPort(port: number, width: 1 | 2 | 4): number;
  writePort(port: number, width: 1 | 2 | 4, value: number): void;
}

/** Where a device's registers are claimed. A later claim of an overlapping range is an assertion failure. */
export interface BusRegistry {
  claimPorts(first: number, count: number, name: string, device: PortDevice): void;
  claimMemory(base: PhysicalAddress, size: number, name: string, device: MemoryMappedDevice): void;
  /** For BARs that move. */
  releasePorts(first: number, count: number): void;
  releaseMemory(base: PhysicalAddress, size: number): void;
}

/**
 * How a device reaches memory (DMA). Every port carries the requester id (bus << 8 | device << 3 | function) of its
 * device, so that a remapping unit can stand in between without touching the device.
 * An access that reaches no RAM reads as all ones and writes nothing.
 */
export interface BusMasterPort {
  readonly requesterId: number;
  read(address: PhysicalAddress, bytes: Uint8Array): void;
  write(address: PhysicalAddress, bytes: Uint8Array): void;
}
