// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { BusMasterPort, MemoryMappedDevice, PhysicalAddress } from '../hardware/memory.ts';
import { copyState, restoreState } from './bus-state.ts';
import type { StateRecord, Stateful } from './bus-state.ts';
import { readLittleEndian } from './bus-width.ts';
import {
  BASE_ADDRESS,
  COMMAND,
  COMMAND_BUS_MASTER,
  COMMAND_INTERRUPT_DISABLE,
  COMMAND_IO_SPACE,
  COMMAND_MEMORY_SPACE,
  CONFIG_BYTES,
  ConfigLayout,
  INTERRUPT_PIN,
  STATUS,
  STATUS_INTERRUPT,
} from './pci-config.ts';
import type { BarKind, PciCapability, PciIdentity } from './pci-config.ts';
import { Msi, msiCapability } from './pci-msi.ts';
import { MSIX_BAR_BYTES, Msix, msixCapability, resetMsixState } from './pci-msix.ts';

/** What lies behind a Base Address Register; the device sees offsets from the BAR's start, in either space. */
export interface PciBar {
  readonly index: number;
  readonly kind: BarKind;
  readonly size: number;
  readonly prefetchable?: boolean;
  readonly device: MemoryMappedDevice;
}

export interface PciFunctionDescription {
  readonly name: string;
  readonly identity: PciIdentity;
  readonly bars?: readonly PciBar[];
  /** 1 for INTA# … 4 for INTD#, 0 for none. */
  readonly interruptPin?: number;
  readonly capabilities?: readonly PciCapability[];
  readonly msi?: { readonly vectors: number };
  /** Takes the whole BAR `bar`. */
  readonly msix?: { readonly vectors: number; readonly bar: number };
  readonly registers?: (layout: ConfigLayout) => void;
}

/** What a function needs of the bus it is plugged into. */
export interface PciSlot {
  readonly memory: BusMasterPort;
  /** Decoding changed: a BAR, or the command register. */
  decodingChanged(): void;
  /** The function's INTx output changed. */
  interruptChanged(): void;
  message(address: number, data: number): void;
}

export type PciFunctionState = {
  config: Uint8Array;
  interrupt: number;
  msix: { table: Uint32Array; pending: Uint32Array };
};

/** Lets a device look at accesses to its own configuration space: before a read, after a write. */
export interface ConfigWatcher {
  beforeConfigRead(offset: number, width: 1 | 2 | 4): void;
  afterConfigWrite(offset: number, width: 1 | 2 | 4): void;
}

/** One function of a PCI device: its configuration space, its interrupts and its way to memory. */
export class PciFunction implements Stateful {
  readonly name: string;
  readonly bars: readonly PciBar[];
  readonly state: PciFunctionState;
  /** Offsets of `description.capabilities` in configuration space, in their order. */
  readonly capabilityOffsets: readonly number[];
  /** The function's bus-master port: with Bus Master off, reads give all ones and writes nothing. */
  readonly memory: BusMasterPort;
  readonly msix: Msix | undefined;
  readonly #msi: Msi | undefined;
  readonly #layout: ConfigLayout;
  #slot: PciSlot | undefined;
  #watcher: ConfigWatcher | undefined;

  constructor(description: PciFunctionDescription) {
    const { msi, msix, identity } = description;
    this.name = description.name;
    this.#layout = new ConfigLayout(identity, description.interruptPin ?? 0);
    this.capabilityOffsets = (description.capabilities ?? []).map((row) => this.#layout.addCapability(row));
    const msiAt = msi && this.#layout.addCapability(msiCapability(msi.vectors));
    const msixAt = msix && this.#layout.addCapability(msixCapability(msix.vectors, msix.bar));
    description.registers?.(this.#layout);
    const config = new Uint8Array(CONFIG_BYTES);
    this.state = { config, interrupt: 0, msix: resetMsixState(msix?.vectors ?? 0) };
    const send = (address: number, data: number): void => this.#message(address, data);
    if (msi !== undefined && msiAt !== undefined) this.#msi = new Msi(msi.vectors, config, msiAt, send);
    if (msixAt !== undefined) this.msix = new Msix(this.state.msix, config, msixAt, send);
    this.bars = [...(description.bars ?? []), ...this.#msixBar(msix?.bar)];
    for (const bar of this.bars) this.#layout.addBar(bar.index, bar.kind, bar.size, bar.prefetchable ?? false);
    config.set(this.#layout.reset);
    this.memory = new GatedBusMaster(this);
  }

  #msixBar(index: number | undefined): PciBar[] {
    if (index === undefined || this.msix === undefined) return [];
    return [{ index, kind: 'memory32', size: MSIX_BAR_BYTES, device: this.msix }];
  }

  /** Called once, by the bus. */
  attach(slot: PciSlot): void {
    assert(this.#slot === undefined, `${this.name} is plugged in twice`);
    this.#slot = slot;
  }

  get slot(): PciSlot {
    assert(this.#slot !== undefined, `${this.name} is not plugged in`);
    return this.#slot;
  }

  watchConfig(watcher: ConfigWatcher): void {
    this.#watcher = watcher;
  }

  /** Sets bits that no guest may write, such as Multi-Function Device. */
  setReadOnlyBits(offset: number, bits: number): void {
    this.#layout.reset[offset] |= bits;
    this.state.config[offset] |= bits;
  }

  /** `offset` within the 256 bytes, the access within its dword. */
  readConfig(offset: number, width: 1 | 2 | 4): number {
    this.#watcher?.beforeConfigRead(offset, width);
    return readLittleEndian(this.state.config, offset, width);
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    const { config } = this.state;
    const { writable, clearable } = this.#layout;
    for (let index = 0; index < width; index++) {
      const at = offset + index;
      const byte = (value >>> (8 * index)) & 0xff;
      config[at] = ((config[at] & ~writable[at]) | (byte & writable[at])) & ~(byte & clearable[at]);
    }
    this.#watcher?.afterConfigWrite(offset, width);
    this.#applyConfig(offset < 0x28 && offset + width > COMMAND);
  }

  #applyConfig(decoding: boolean): void {
    if (decoding) this.slot.decodingChanged();
    this.#msi?.written();
    this.msix?.written();
    this.slot.interruptChanged();
  }

  get command(): number {
    return readLittleEndian(this.state.config, COMMAND, 2);
  }

  get interruptPin(): number {
    return this.state.config[INTERRUPT_PIN];
  }

  /** The physical address or port a BAR decodes now, or undefined while its space is not enabled. */
  decodedAddress(bar: PciBar): PhysicalAddress | undefined {
    const enable = bar.kind === 'io' ? COMMAND_IO_SPACE : COMMAND_MEMORY_SPACE;
    return this.command & enable ? this.barAddress(bar) : undefined;
  }

  barAddress(bar: PciBar): PhysicalAddress {
    const offset = BASE_ADDRESS + 4 * bar.index;
    const low = readLittleEndian(this.state.config, offset, 4);
    if (bar.kind === 'io') return low - (low & 3);
    const high = bar.kind === 'memory64' ? readLittleEndian(this.state.config, offset + 4, 4) : 0;
    return low - (low & 15) + high * 2 ** 32;
  }

  /** Whether MSI or MSI-X is in use, and INTx therefore silent. */
  get messageSignalled(): boolean {
    return (this.#msi?.enabled ?? false) || (this.msix?.enabled ?? false);
  }

  /** Raises or lowers INTx. */
  setInterrupt(asserted: boolean): void {
    this.state.interrupt = asserted ? 1 : 0;
    const status = this.state.config[STATUS] & ~STATUS_INTERRUPT;
    this.state.config[STATUS] = status | (asserted ? STATUS_INTERRUPT : 0);
    this.slot.interruptChanged();
  }

  /** What the function drives on its pin. */
  get drivesInterrupt(): boolean {
    const disabled = (this.command & COMMAND_INTERRUPT_DISABLE) !== 0 || this.messageSignalled;
    return this.state.interrupt !== 0 && !disabled && this.interruptPin !== 0;
  }

  /** Sends an interrupt message by whichever of MSI and MSI-X is enabled; nothing if neither is. */
  notify(vector: number): void {
    if (this.msix?.enabled) this.msix.notify(vector);
    else this.#msi?.notify(vector);
  }

  get isBusMaster(): boolean {
    return (this.command & COMMAND_BUS_MASTER) !== 0;
  }

  /** A message is a memory write, so it needs Bus Master like any other. */
  #message(address: number, data: number): void {
    if (this.isBusMaster) this.slot.message(address, data);
  }

  /** Configuration space as after power-on. */
  reset(): void {
    const { config, msix } = this.state;
    config.set(this.#layout.reset);
    this.state.interrupt = 0;
    restoreState(msix, resetMsixState(this.msix?.vectors ?? 0));
    this.slot.decodingChanged();
    this.slot.interruptChanged();
  }

  save(): StateRecord {
    return copyState(this.state);
  }

  restore(saved: StateRecord): void {
    restoreState(this.state, saved);
    this.slot.decodingChanged();
    this.slot.interruptChanged();
  }
}

/** A bus-master port that the function's command register can close. */
class GatedBusMaster implements BusMasterPort {
  readonly #owner: PciFunction;

  constructor(owner: PciFunction) {
    this.#owner = owner;
  }

  get requesterId(): number {
    return this.#owner.slot.memory.requesterId;
  }

  read(address: PhysicalAddress, bytes: Uint8Array): void {
    if (this.#owner.isBusMaster) this.#owner.slot.memory.read(address, bytes);
    else bytes.fill(0xff);
  }

  write(address: PhysicalAddress, bytes: Uint8Array): void {
    if (this.#owner.isBusMaster) this.#owner.slot.memory.write(address, bytes);
  }
}
