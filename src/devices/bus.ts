// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { hex } from '../base/hex.ts';
import type { AccessWidth, BusRegistry, MemoryMappedDevice, PhysicalAddress, PortDevice } from '../hardware/memory.ts';
import { ALL_ONES, byteOf } from './bus-width.ts';

/**
 * A port that answers 4-byte accesses as a register of its own, whatever owns the bytes beneath it: CONFIG_ADDRESS
 * at CF8h, in whose second byte lies the reset control register.
 * See: PCI 3.2.2.3.2 Software Generation of Configuration Transactions.
 */
export interface DwordPortRegistry {
  claimDwordPort(port: number, name: string, device: PortDevice): void;
}

interface PortRegion {
  readonly first: number;
  readonly count: number;
  readonly name: string;
  readonly device: PortDevice;
}

interface MemoryRegion {
  readonly base: number;
  readonly end: number;
  readonly name: string;
  readonly device: MemoryMappedDevice;
}

/** Accesses of one address that nobody claims. */
export interface UnclaimedAccess {
  readonly space: 'port' | 'memory';
  readonly address: number;
  reads: number;
  writes: number;
}

const PORTS = 0x10000;
/** Beyond this many different addresses, unclaimed accesses are only counted in sum. */
const UNCLAIMED_ADDRESSES = 1024;

/**
 * The ports and memory-mapped regions of one machine. An access within one region reaches its device whole; one that
 * crosses a border is made of byte accesses. What nobody claims reads as all ones and ignores writes.
 */
export class DeviceBus implements BusRegistry, DwordPortRegistry {
  /** The high half of the last 8-byte `readMemory`. */
  high = 0;
  /** Unclaimed accesses that found no place in `unclaimed()`. */
  unclaimedElsewhere = 0;
  /** For each port the number of its region, 0 for none. */
  readonly #portOwner = new Uint16Array(PORTS);
  readonly #portRegions: (PortRegion | undefined)[] = [undefined];
  readonly #dwordPorts = new Map<number, PortRegion>();
  /** Sorted by base, never overlapping. */
  readonly #memoryRegions: MemoryRegion[] = [];
  #lastHit: MemoryRegion | undefined;
  readonly #unclaimed = new Map<string, UnclaimedAccess>();

  claimPorts(first: number, count: number, name: string, device: PortDevice): void {
    assert(first >= 0 && count > 0 && first + count <= PORTS, `${name} claims ports ${hex(first)}+${count}`);
    const owner = this.#portOwner.subarray(first, first + count).find((number) => number !== 0);
    const other = this.#portRegions[owner ?? 0];
    assert(other === undefined, `${name} claims ports ${hex(first)}+${count} of ${other?.name}`);
    this.#portOwner.fill(this.#addPortRegion({ first, count, name, device }), first, first + count);
  }

  #addPortRegion(region: PortRegion): number {
    const free = this.#portRegions.indexOf(undefined, 1);
    if (free === -1) return this.#portRegions.push(region) - 1;
    this.#portRegions[free] = region;
    return free;
  }

  releasePorts(first: number, count: number): void {
    const number = this.#portOwner[first];
    const region = this.#portRegions[number];
    assert(region?.first === first && region.count === count, `no claim of ports ${hex(first)}+${count}`);
    this.#portOwner.fill(0, first, first + count);
    this.#portRegions[number] = undefined;
  }

  claimDwordPort(port: number, name: string, device: PortDevice): void {
    assert(
      !this.#dwordPorts.has(port),
      `${name} claims dword port ${hex(port)} of ${this.#dwordPorts.get(port)?.name}`,
    );
    this.#dwordPorts.set(port, { first: port, count: 4, name, device });
  }

  claimMemory(base: PhysicalAddress, size: number, name: string, device: MemoryMappedDevice): void {
    assert(size > 0, `${name} claims no memory`);
    const at = this.#firstRegionEndingAfter(base);
    const next = this.#memoryRegions[at];
    const free = next === undefined || next.base >= base + size;
    assert(free, `${name} claims memory ${hex(base)}+${hex(size)} of ${next?.name}`);
    this.#memoryRegions.splice(at, 0, { base, end: base + size, name, device });
  }

  releaseMemory(base: PhysicalAddress, size: number): void {
    const at = this.#firstRegionEndingAfter(base);
    const region = this.#memoryRegions[at];
    assert(region?.base === base && region.end === base + size, `no claim of memory ${hex(base)}+${hex(size)}`);
    this.#memoryRegions.splice(at, 1);
    this.#lastHit = undefined;
  }

  /** Returns the value zero-extended. */
  readPort(port: number, width: 1 | 2 | 4): number {
    const region = this.#portRegion(port, width);
    if (region !== undefined && port + width <= region.first + region.count) {
      return region.device.readPort(port, width);
    }
    if (region === undefined && this.#portsAreFree(port, width)) {
      this.#count('port', port, 'reads');
      return ALL_ONES[width];
    }
    let value = 0;
    for (let byte = 0; byte < width; byte++) value += this.readPort((port + byte) & 0xffff, 1) * 2 ** (8 * byte);
    return value;
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    const region = this.#portRegion(port, width);
    if (region !== undefined && port + width <= region.first + region.count) {
      region.device.writePort(port, width, value);
    } else if (region === undefined && this.#portsAreFree(port, width)) {
      this.#count('port', port, 'writes');
    } else {
      for (let byte = 0; byte < width; byte++) this.writePort((port + byte) & 0xffff, 1, byteOf(value, byte));
    }
  }

  #portRegion(port: number, width: 1 | 2 | 4): PortRegion | undefined {
    const dword = width === 4 ? this.#dwordPorts.get(port) : undefined;
    return dword ?? this.#portRegions[this.#portOwner[port]];
  }

  #portsAreFree(port: number, width: 1 | 2 | 4): boolean {
    for (let byte = 0; byte < width; byte++) if (this.#portOwner[(port + byte) & 0xffff] !== 0) return false;
    return true;
  }

  /** Whether a device answers at this address. */
  claimsMemory(address: PhysicalAddress): boolean {
    return this.#memoryRegion(address) !== undefined;
  }

  /**
   * Returns the value zero-extended; of an 8-byte access (two 4-byte ones, low half first) the low half, and leaves
   * the other in `high`.
   */
  readMemory(address: PhysicalAddress, width: AccessWidth): number {
    if (width !== 8) return this.#readMemory(address, width);
    const low = this.#readMemory(address, 4);
    this.high = this.#readMemory(address + 4, 4);
    return low;
  }

  /** `value` is the whole of a 1-, 2- or 4-byte access, and the low half of an 8-byte one, whose other is `high`. */
  writeMemory(address: PhysicalAddress, width: AccessWidth, value: number, high = 0): void {
    if (width !== 8) return this.#writeMemory(address, width, value);
    this.#writeMemory(address, 4, value);
    this.#writeMemory(address + 4, 4, high);
  }

  #readMemory(address: number, width: 1 | 2 | 4): number {
    const region = this.#memoryRegion(address);
    if (region !== undefined && address + width <= region.end) {
      return region.device.readMemory(address - region.base, width);
    }
    if (region === undefined && this.#memoryIsFree(address, width)) {
      this.#count('memory', address, 'reads');
      return ALL_ONES[width];
    }
    let value = 0;
    for (let byte = 0; byte < width; byte++) value += this.#readMemory(address + byte, 1) * 2 ** (8 * byte);
    return value;
  }

  #writeMemory(address: number, width: 1 | 2 | 4, value: number): void {
    const region = this.#memoryRegion(address);
    if (region !== undefined && address + width <= region.end) {
      region.device.writeMemory(address - region.base, width, value);
    } else if (region === undefined && this.#memoryIsFree(address, width)) {
      this.#count('memory', address, 'writes');
    } else {
      for (let byte = 0; byte < width; byte++) this.#writeMemory(address + byte, 1, byteOf(value, byte));
    }
  }

  #memoryRegion(address: number): MemoryRegion | undefined {
    const last = this.#lastHit;
    if (last !== undefined && address >= last.base && address < last.end) return last;
    const region = this.#memoryRegions[this.#firstRegionEndingAfter(address)];
    if (region === undefined || address < region.base) return undefined;
    this.#lastHit = region;
    return region;
  }

  #memoryIsFree(address: number, width: number): boolean {
    const next = this.#memoryRegions[this.#firstRegionEndingAfter(address)];
    return next === undefined || next.base >= address + width;
  }

  /** Index of the first region whose end lies above `address`: it holds the address, or follows it. */
  #firstRegionEndingAfter(address: number): number {
    let low = 0;
    let high = this.#memoryRegions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#memoryRegions[middle].end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #count(space: 'port' | 'memory', address: number, direction: 'reads' | 'writes'): void {
    const key = `${space} ${address}`;
    let access = this.#unclaimed.get(key);
    if (access === undefined) {
      if (this.#unclaimed.size === UNCLAIMED_ADDRESSES) return void this.unclaimedElsewhere++;
      access = { space, address, reads: 0, writes: 0 };
      this.#unclaimed.set(key, access);
    }
    access[direction]++;
  }

  /** For the summary of a run: where accesses went that no device claims, by space and address. */
  unclaimed(): UnclaimedAccess[] {
    return Array.from(this.#unclaimed.values(), (access) => ({ ...access })).toSorted((a, b) =>
      a.space === b.space ? a.address - b.address : a.space < b.space ? -1 : 1,
    );
  }

  /** For `info mtree` and error messages: every claim as first, last (inclusive) and name, in order of address. */
  claims(): { space: 'port' | 'memory'; first: number; last: number; name: string }[] {
    const ports = this.#portRegions
      .filter((region) => region !== undefined)
      .toSorted((a, b) => a.first - b.first)
      .map(({ first, count, name }) => ({ space: 'port' as const, first, last: first + count - 1, name }));
    const memory = this.#memoryRegions.map(({ base, end, name }) => ({
      space: 'memory' as const,
      first: base,
      last: end - 1,
      name,
    }));
    return [...ports, ...memory];
  }
}
