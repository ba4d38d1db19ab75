// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { InterruptLine, InterruptRouter } from '../hardware/interrupts.ts';
import type {
  BusMasterPort,
  BusRegistry,
  MemoryMappedDevice,
  PhysicalAddress,
  PortDevice,
} from '../hardware/memory.ts';
import type { DwordPortRegistry } from './bus.ts';
import type { StateRecord, Stateful } from './bus-state.ts';
import { ALL_ONES } from './bus-width.ts';
import { CONFIG_BYTES, HEADER_MULTIFUNCTION, HEADER_TYPE } from './pci-config.ts';
import { PciFunction } from './pci-function.ts';
import type { PciBar } from './pci-function.ts';
import { DEFAULT_PCI_GSIS, pciGsi } from './pci-routing.ts';

/** See: PCI 3.2.2.3.2 Software Generation of Configuration Transactions. */
const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const CONFIG_ADDRESS_ENABLE = 0x8000_0000;
/** Enable, bus, device, function and register: the bits of CONFIG_ADDRESS that hold what is written. */
const CONFIG_ADDRESS_BITS = 0x80ff_fffc;
/** Bytes of ECAM per function and per bus. See: PCI Express 7.2.2 Enhanced Configuration Access Mechanism. */
const ECAM_FUNCTION_BYTES = 0x1000;
const ECAM_BUS_BYTES = 0x10_0000;
/** Of the host bridge: PCIEXBAR, where ECAM is. */
const PCIEXBAR = 0x60;
const PCIEXBAR_LENGTH: Readonly<Record<number, number>> = { 256: 0, 128: 1, 64: 2 };

export interface AddressRange {
  readonly base: number;
  readonly size: number;
}

/** Where BARs may decode: nothing else is claimed there. A BAR outside decodes nothing. */
export interface PciWindows {
  readonly ports: AddressRange;
  readonly memory: AddressRange;
  /** Above 4 GiB. */
  readonly memory64?: AddressRange;
}

export interface PciBusOptions {
  readonly bus: BusRegistry & DwordPortRegistry;
  readonly interrupts: InterruptRouter;
  /** The bus-master port of a requester id (bus << 8 | device << 3 | function). */
  readonly busMaster: (requesterId: number) => BusMasterPort;
  readonly windows: PciWindows;
  /** `buses` is 64, 128 or 256. */
  readonly ecam?: { readonly base: PhysicalAddress; readonly buses: number };
  /** The four I/O APIC inputs that INTx pins are spread over. */
  readonly gsis?: readonly number[];
}

interface Attached {
  readonly slot: number;
  readonly number: number;
  readonly requesterId: number;
  readonly function: PciFunction;
}

/** A BAR that decodes now. */
interface Mapping {
  readonly bar: PciBar;
  readonly name: string;
  readonly base: number;
}

/** Bus 0 with its host bridge: configuration mechanism #1, ECAM, decoding of BARs, INTx routing. */
export class PciBus implements PortDevice, MemoryMappedDevice, Stateful {
  readonly windows: PciWindows;
  readonly gsis: readonly number[];
  readonly state = { configAddress: 0 };
  readonly hostBridge: PciFunction;
  readonly #options: PciBusOptions;
  /** By device << 3 | function, in that order. */
  readonly #attached: Attached[] = [];
  readonly #lines = new Map<number, InterruptLine>();
  #mappings: Mapping[] = [];

  constructor(options: PciBusOptions) {
    this.#options = options;
    this.windows = options.windows;
    this.gsis = options.gsis ?? DEFAULT_PCI_GSIS;
    for (const gsi of this.gsis) this.#lines.set(gsi, options.interrupts.gsiLine(gsi));
    options.bus.claimDwordPort(CONFIG_ADDRESS, 'PCI CONFIG_ADDRESS', this);
    options.bus.claimPorts(CONFIG_DATA, 4, 'PCI CONFIG_DATA', this);
    const { ecam } = options;
    if (ecam !== undefined) options.bus.claimMemory(ecam.base, ecam.buses * ECAM_BUS_BYTES, 'PCI ECAM', this);
    this.hostBridge = hostBridge(ecam);
    this.attach(0, 0, this.hostBridge);
  }

  /** Plugs a function in as device `slot` (0..31), function `number` (0..7) of bus 0. Function 0 comes first. */
  attach(slot: number, number: number, pciFunction: PciFunction): void {
    const requesterId = (slot << 3) | number;
    const taken = this.#function(requesterId);
    assert(slot < 32 && number < 8 && taken === undefined, `PCI ${slot}.${number} is taken by ${taken?.name}`);
    const first = this.#function(slot << 3);
    assert(number === 0 || first !== undefined, `PCI ${slot}.${number} has no function 0`);
    if (number !== 0) first?.setReadOnlyBits(HEADER_TYPE, HEADER_MULTIFUNCTION);
    pciFunction.attach({
      memory: this.#options.busMaster(requesterId),
      decodingChanged: () => this.#map(),
      interruptChanged: () => this.#driveLine(this.#gsi(slot, pciFunction)),
      message: (address, data) => this.#options.interrupts.message(requesterId, address, data),
    });
    this.#attached.push({ slot, number, requesterId, function: pciFunction });
    this.#attached.sort((a, b) => a.requesterId - b.requesterId);
  }

  /** Every function, by device and function number. */
  get functions(): readonly Attached[] {
    return this.#attached;
  }

  #function(requesterId: number): PciFunction | undefined {
    return this.#attached.find((row) => row.requesterId === requesterId)?.function;
  }

  /** The I/O APIC input of a function's INTx, or undefined if it has no pin. */
  #gsi(slot: number, { interruptPin }: PciFunction): number | undefined {
    return interruptPin === 0 ? undefined : pciGsi(this.gsis, slot, interruptPin);
  }

  /** The line is the wired OR of all functions routed to it. */
  #driveLine(gsi: number | undefined): void {
    if (gsi === undefined) return;
    const asserted = this.#attached.some(
      (row) => this.#gsi(row.slot, row.function) === gsi && row.function.drivesInterrupt,
    );
    this.#lines.get(gsi)?.set(asserted);
  }

  /** `address` is bus << 16 | device << 11 | function << 8 | register. */
  readConfig(address: number, width: 1 | 2 | 4): number {
    const target = this.#function(address >>> 8);
    return target === undefined ? ALL_ONES[width] : target.readConfig(address & 0xff, width);
  }

  writeConfig(address: number, width: 1 | 2 | 4, value: number): void {
    this.#function(address >>> 8)?.writeConfig(address & 0xff, width, value);
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    const { configAddress } = this.state;
    if (port === CONFIG_ADDRESS) return configAddress;
    if (configAddress < CONFIG_ADDRESS_ENABLE) return ALL_ONES[width];
    return this.readConfig((configAddress & 0xff_fffc) | (port & 3), width);
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    const { configAddress } = this.state;
    if (port === CONFIG_ADDRESS) this.state.configAddress = (value & CONFIG_ADDRESS_BITS) >>> 0;
    else if (configAddress >= CONFIG_ADDRESS_ENABLE) {
      this.writeConfig((configAddress & 0xff_fffc) | (port & 3), width, value);
    }
  }

  /** ECAM. Functions here have no extended configuration space: it reads as all ones. */
  readMemory(offset: number, width: 1 | 2 | 4): number {
    const register = offset % ECAM_FUNCTION_BYTES;
    if (register + width > CONFIG_BYTES) return ALL_ONES[width];
    return this.readConfig(Math.floor(offset / ECAM_FUNCTION_BYTES) * 256 + register, width);
  }

  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    const register = offset % ECAM_FUNCTION_BYTES;
    if (register + width > CONFIG_BYTES) return;
    this.writeConfig(Math.floor(offset / ECAM_FUNCTION_BYTES) * 256 + register, width, value);
  }

  /**
   * Makes the claims on the bus what configuration space says. Which BARs decode is a function of configuration space
   * alone: of two that overlap, the one of the lower device, function and index.
   */
  #map(): void {
    const wanted = this.#wantedMappings();
    for (const old of this.#mappings) if (!wanted.some((row) => isSame(row, old))) this.#release(old);
    for (const row of wanted) if (!this.#mappings.some((old) => isSame(row, old))) this.#claim(row);
    this.#mappings = wanted;
  }

  #wantedMappings(): Mapping[] {
    const wanted: Mapping[] = [];
    for (const { function: owner } of this.#attached) {
      for (const bar of owner.bars) {
        const base = owner.decodedAddress(bar);
        const row = { bar, name: `${owner.name} BAR ${bar.index}`, base: base ?? 0 };
        if (base !== undefined && this.#inWindow(row) && !wanted.some((other) => overlap(row, other))) wanted.push(row);
      }
    }
    return wanted;
  }

  #inWindow({ bar, base }: Mapping): boolean {
    const { ports, memory, memory64 } = this.windows;
    const windows = bar.kind === 'io' ? [ports] : [memory, memory64];
    return windows.some((window) => window && base >= window.base && base + bar.size <= window.base + window.size);
  }

  #claim({ bar, name, base }: Mapping): void {
    if (bar.kind === 'io') this.#options.bus.claimPorts(base, bar.size, name, new BarPorts(base, bar.device));
    else this.#options.bus.claimMemory(base, bar.size, name, bar.device);
  }

  #release({ bar, base }: Mapping): void {
    if (bar.kind === 'io') this.#options.bus.releasePorts(base, bar.size);
    else this.#options.bus.releaseMemory(base, bar.size);
  }

  reset(): void {
    this.state.configAddress = 0;
    for (const row of this.#attached) row.function.reset();
  }

  save(): StateRecord {
    const functions = this.#attached.map((row) => [String(row.requesterId), row.function.save()]);
    return { configAddress: this.state.configAddress, functions: Object.fromEntries(functions) };
  }

  restore(saved: StateRecord): void {
    assert(typeof saved['configAddress'] === 'number', 'saved PCI state has no configAddress');
    this.state.configAddress = saved['configAddress'];
    const functions = saved['functions'] as Record<string, StateRecord>;
    const same = this.#attached.map((row) => String(row.requesterId)).join() === Object.keys(functions).join();
    assert(same, 'saved PCI state has other functions');
    for (const row of this.#attached) row.function.restore(functions[String(row.requesterId)]);
  }
}

function isSame(a: Mapping, b: Mapping): boolean {
  return a.bar === b.bar && a.base === b.base;
}

function overlap(a: Mapping, b: Mapping): boolean {
  const sameSpace = (a.bar.kind === 'io') === (b.bar.kind === 'io');
  return sameSpace && a.base < b.base + b.bar.size && b.base < a.base + a.bar.size;
}

/** An I/O BAR: ports relative to where it decodes. */
class BarPorts implements PortDevice {
  readonly #base: number;
  readonly #device: MemoryMappedDevice;

  constructor(base: number, device: MemoryMappedDevice) {
    this.#base = base;
    this.#device = device;
  }

  readPort(port: number, width: 1 | 2 | 4): number {
    return this.#device.readMemory(port - this.#base, width);
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.#device.writeMemory(port - this.#base, width, value);
  }
}

/** The ids of Intel's Q35 memory controller hub, as QEMU's q35 machine shows them. */
function hostBridge(ecam: PciBusOptions['ecam']): PciFunction {
  return new PciFunction({
    name: 'host bridge',
    identity: { vendor: 0x8086, device: 0x29c0, revision: 0, classCode: 0x06_0000 },
    registers: (layout) => {
      if (ecam === undefined) return;
      const length = PCIEXBAR_LENGTH[ecam.buses];
      assert(length !== undefined, `ECAM cannot have ${ecam.buses} buses`);
      layout.setRegister(PCIEXBAR, 4, ecam.base + (length << 1) + 1);
    },
  });
}
