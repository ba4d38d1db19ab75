// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import { writeLittleEndian } from './bus-width.ts';

/** Configuration space of a function without PCI Express: the type 0 header and capabilities. */
export const CONFIG_BYTES = 256;

interface ConfigRegister {
  readonly offset: number;
  readonly width: 1 | 2 | 4;
  readonly name: string;
  /** Bits software may write. */
  readonly writable: number;
  /** Bits that a written 1 clears. */
  readonly clearable: number;
}

/**
 * The type 0 header but for its Base Address Registers, whose writable bits follow from their sizes.
 * See: PCI 6.1 Configuration Space Organization.
 */
// prettier-ignore
const CONFIG_REGISTERS: readonly ConfigRegister[] = [
  { offset: 0x00, width: 2, name: 'Vendor ID',           writable: 0x0000, clearable: 0x0000 },
  { offset: 0x02, width: 2, name: 'Device ID',           writable: 0x0000, clearable: 0x0000 },
  { offset: 0x04, width: 2, name: 'Command',             writable: 0x0547, clearable: 0x0000 },
  { offset: 0x06, width: 2, name: 'Status',              writable: 0x0000, clearable: 0xf900 },
  { offset: 0x08, width: 1, name: 'Revision ID',         writable: 0x0000, clearable: 0x0000 },
  { offset: 0x09, width: 1, name: 'Interface',           writable: 0x0000, clearable: 0x0000 },
  { offset: 0x0a, width: 2, name: 'Class Code',          writable: 0x0000, clearable: 0x0000 },
  { offset: 0x0c, width: 1, name: 'Cache Line Size',     writable: 0x00ff, clearable: 0x0000 },
  { offset: 0x0d, width: 1, name: 'Latency Timer',       writable: 0x00ff, clearable: 0x0000 },
  { offset: 0x0e, width: 1, name: 'Header Type',         writable: 0x0000, clearable: 0x0000 },
  { offset: 0x0f, width: 1, name: 'BIST',                writable: 0x0000, clearable: 0x0000 },
  { offset: 0x28, width: 4, name: 'Cardbus CIS Pointer', writable: 0x0000, clearable: 0x0000 },
  { offset: 0x2c, width: 2, name: 'Subsystem Vendor ID', writable: 0x0000, clearable: 0x0000 },
  { offset: 0x2e, width: 2, name: 'Subsystem ID',        writable: 0x0000, clearable: 0x0000 },
  { offset: 0x30, width: 4, name: 'Expansion ROM Base',  writable: 0x0000, clearable: 0x0000 },
  { offset: 0x34, width: 1, name: 'Capabilities Pointer',writable: 0x0000, clearable: 0x0000 },
  { offset: 0x3c, width: 1, name: 'Interrupt Line',      writable: 0x00ff, clearable: 0x0000 },
  { offset: 0x3d, width: 1, name: 'Interrupt Pin',       writable: 0x0000, clearable: 0x0000 },
  { offset: 0x3e, width: 1, name: 'Min_Gnt',             writable: 0x0000, clearable: 0x0000 },
  { offset: 0x3f, width: 1, name: 'Max_Lat',             writable: 0x0000, clearable: 0x0000 },
];

export const COMMAND = 0x04;
export const STATUS = 0x06;
export const HEADER_TYPE = 0x0e;
export const BASE_ADDRESS = 0x10;
const CAPABILITIES_POINTER = 0x34;
export const INTERRUPT_LINE = 0x3c;
export const INTERRUPT_PIN = 0x3d;

/** See: PCI 6.2.2 Device Control. */
export const COMMAND_IO_SPACE = 1 << 0;
export const COMMAND_MEMORY_SPACE = 1 << 1;
export const COMMAND_BUS_MASTER = 1 << 2;
export const COMMAND_INTERRUPT_DISABLE = 1 << 10;
/** See: PCI 6.2.3 Device Status. */
export const STATUS_INTERRUPT = 1 << 3;
const STATUS_CAPABILITIES_LIST = 1 << 4;
export const HEADER_MULTIFUNCTION = 0x80;

/** See: PCI 6.2.1 Device Identification. `classCode` is base class, sub-class and interface: 24 bits. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
}

/** A capability's registers behind its id and next pointer: their reset values, and which bits software may write. */
export interface PciCapability {
  readonly id: number;
  readonly registers: Uint8Array;
  readonly writable: Uint8Array;
}

export type BarKind = 'io' | 'memory32' | 'memory64';

// prettier-ignore
const BAR_TYPE_BITS: Record<BarKind, number> = { io: 1, memory32: 0, memory64: 4 };

/** A function's configuration space: reset values and, for each byte, which bits may be written or cleared. */
export class ConfigLayout {
  readonly reset = new Uint8Array(CONFIG_BYTES);
  readonly writable = new Uint8Array(CONFIG_BYTES);
  readonly clearable = new Uint8Array(CONFIG_BYTES);
  #freeForCapabilities = 0x40;
  #lastPointer = CAPABILITIES_POINTER;

  constructor(identity: PciIdentity, interruptPin: number) {
    for (const { offset, width, writable, clearable } of CONFIG_REGISTERS) {
      writeLittleEndian(this.writable, offset, width, writable);
      writeLittleEndian(this.clearable, offset, width, clearable);
    }
    writeLittleEndian(this.reset, 0x00, 2, identity.vendor);
    writeLittleEndian(this.reset, 0x02, 2, identity.device);
    writeLittleEndian(this.reset, 0x08, 4, identity.classCode * 256 + identity.revision);
    writeLittleEndian(this.reset, 0x2c, 2, identity.subsystemVendor ?? 0);
    writeLittleEndian(this.reset, 0x2e, 2, identity.subsystem ?? 0);
    this.reset[INTERRUPT_PIN] = interruptPin;
  }

  /** See: PCI 6.2.5.1 Address Maps. `size` is a power of two. */
  addBar(index: number, kind: BarKind, size: number, prefetchable: boolean): void {
    const smallest = kind === 'io' ? 4 : 16;
    const powerOfTwo = size >= smallest && size <= 2 ** 31 && Number.isInteger(Math.log2(size));
    assert(powerOfTwo, `BAR ${index} has size ${size}`);
    const offset = BASE_ADDRESS + 4 * index;
    writeLittleEndian(this.reset, offset, 4, BAR_TYPE_BITS[kind] | (prefetchable ? 8 : 0));
    writeLittleEndian(this.writable, offset, 4, 2 ** 32 - size);
    if (kind === 'memory64') writeLittleEndian(this.writable, offset + 4, 4, 0xffff_ffff);
  }

  /** Appends to the list and returns the capability's offset. See: PCI 6.7 Capabilities List. */
  addCapability({ id, registers, writable }: PciCapability): number {
    const offset = this.#freeForCapabilities;
    this.#freeForCapabilities = (offset + 2 + registers.length + 3) & ~3;
    assert(this.#freeForCapabilities <= CONFIG_BYTES, 'the capabilities do not fit');
    this.reset[this.#lastPointer] = offset;
    this.#lastPointer = offset + 1;
    this.reset[offset] = id;
    this.reset.set(registers, offset + 2);
    this.writable.set(writable, offset + 2);
    this.reset[STATUS] |= STATUS_CAPABILITIES_LIST;
    return offset;
  }

  /** For registers of one kind of device, such as a host bridge's. */
  setRegister(offset: number, width: 1 | 2 | 4, reset: number, writable = 0): void {
    writeLittleEndian(this.reset, offset, width, reset);
    writeLittleEndian(this.writable, offset, width, writable);
  }
}
