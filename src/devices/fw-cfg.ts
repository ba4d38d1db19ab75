// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';
import type { BusMasterPort, BusRegistry, PortDevice } from '../hardware/memory.ts';
import { copyState, restoreState } from './bus-state.ts';
import type { StateRecord, Stateful } from './bus-state.ts';
import { byteOf, readLittleEndian } from './bus-width.ts';
import { runFwCfgDma } from './fw-cfg-dma.ts';

/** See: QEMU docs/specs/fw_cfg, Register Locations. */
const SELECTOR = 0x510;
const DATA_AND_SELECTOR_PORTS = 2;
const DMA_ADDRESS_HIGH = 0x514;
const DMA_ADDRESS_LOW = 0x518;
const DMA_SIGNATURE = 'QEMU CFG';

/** Bits of the selector that do not name the item: Write, which has no effect any more. */
const SELECTOR_WRITE = 0x4000;
const FIRST_FILE = 0x20;
const FILE_ENTRY_BYTES = 64;
const FILE_NAME_BYTES = 56;
const FEATURE_TRADITIONAL = 1;
const FEATURE_DMA = 2;

/** The well-known keys: an item is a little-endian number of so many bytes, or bytes as they are. */
// prettier-ignore
export const FW_CFG_KEYS = {
  SIGNATURE:    { key: 0x00, bytes: 'blob' },
  ID:           { key: 0x01, bytes: 4 },
  UUID:         { key: 0x02, bytes: 'blob' },
  RAM_SIZE:     { key: 0x03, bytes: 8 },
  NOGRAPHIC:    { key: 0x04, bytes: 2 },
  NB_CPUS:      { key: 0x05, bytes: 2 },
  KERNEL_ADDR:  { key: 0x07, bytes: 4 },
  KERNEL_SIZE:  { key: 0x08, bytes: 4 },
  INITRD_ADDR:  { key: 0x0a, bytes: 4 },
  INITRD_SIZE:  { key: 0x0b, bytes: 4 },
  BOOT_MENU:    { key: 0x0e, bytes: 2 },
  MAX_CPUS:     { key: 0x0f, bytes: 2 },
  KERNEL_ENTRY: { key: 0x10, bytes: 4 },
  KERNEL_DATA:  { key: 0x11, bytes: 'blob' },
  INITRD_DATA:  { key: 0x12, bytes: 'blob' },
  CMDLINE_ADDR: { key: 0x13, bytes: 4 },
  CMDLINE_SIZE: { key: 0x14, bytes: 4 },
  CMDLINE_DATA: { key: 0x15, bytes: 'blob' },
  SETUP_ADDR:   { key: 0x16, bytes: 4 },
  SETUP_SIZE:   { key: 0x17, bytes: 4 },
  SETUP_DATA:   { key: 0x18, bytes: 'blob' },
  FILE_DIR:     { key: 0x19, bytes: 'blob' },
} as const;

export type FwCfgKey = keyof typeof FW_CFG_KEYS;

interface FwCfgFile {
  readonly name: string;
  readonly key: number;
  readonly size: number;
}

export interface FwCfgOptions {
  /** For the DMA interface. */
  readonly memory: BusMasterPort;
  readonly ramBytes: number;
  readonly processors: number;
  /** Highest APIC id plus one, at least. */
  readonly maxProcessors: number;
}

export type FwCfgState = {
  selector: number;
  offset: number;
  /** High half of the DMA address until the low half comes. */
  dmaHigh: number;
  /** Contents of guest-writable files, by name. */
  writable: { [name: string]: Uint8Array };
};

/** QEMU's firmware configuration device: selector, data and DMA ports. */
export class FwCfg implements PortDevice, Stateful {
  readonly state: FwCfgState = { selector: 0, offset: 0, dmaHigh: 0, writable: {} };
  readonly #memory: BusMasterPort;
  readonly #items = new Map<number, Uint8Array>();
  readonly #files: FwCfgFile[] = [];
  readonly #writableKeys = new Set<number>();

  constructor({ memory, ramBytes, processors, maxProcessors }: FwCfgOptions) {
    this.#memory = memory;
    this.setBytes('SIGNATURE', ascii('QEMU'));
    this.setNumber('ID', FEATURE_TRADITIONAL | FEATURE_DMA);
    this.setNumber('RAM_SIZE', ramBytes);
    this.setNumber('NB_CPUS', processors);
    this.setNumber('MAX_CPUS', maxProcessors);
    this.setNumber('NOGRAPHIC', 1);
    this.#describeFiles();
  }

  claim(registry: BusRegistry): void {
    registry.claimPorts(SELECTOR, DATA_AND_SELECTOR_PORTS, 'fw_cfg', this);
    registry.claimPorts(DMA_ADDRESS_HIGH, 8, 'fw_cfg DMA', this);
  }

  setNumber(name: FwCfgKey, value: number): void {
    const { key, bytes } = FW_CFG_KEYS[name];
    assert(bytes !== 'blob', `fw_cfg ${name} is no number`);
    const item = new Uint8Array(bytes);
    for (let index = 0, rest = value; index < bytes; index++, rest = Math.floor(rest / 256)) item[index] = rest % 256;
    this.#items.set(key, item);
  }

  setBytes(name: FwCfgKey, contents: Uint8Array): void {
    const { key, bytes } = FW_CFG_KEYS[name];
    assert(bytes === 'blob', `fw_cfg ${name} is a number`);
    this.#items.set(key, contents);
  }

  /** The kernel command line, NUL-terminated, with its size. */
  setCommandLine(text: string): void {
    const contents = ascii(`${text}\0`);
    this.setBytes('CMDLINE_DATA', contents);
    this.setNumber('CMDLINE_SIZE', contents.length);
  }

  /** Adds a named file, up to 55 ASCII characters; a writable one the guest may overwrite by DMA, in place. */
  addFile(name: string, contents: Uint8Array, writable = false): void {
    assert(name.length < FILE_NAME_BYTES, `fw_cfg file name ${name} is too long`);
    assert(!this.#files.some((file) => file.name === name), `fw_cfg file ${name} exists`);
    const key = FIRST_FILE + this.#files.length;
    const item = writable ? contents.slice() : contents;
    this.#files.push({ name, key, size: contents.length });
    this.#items.set(key, item);
    if (writable) {
      this.#writableKeys.add(key);
      this.state.writable[name] = item;
    }
    this.#describeFiles();
  }

  /** The present contents of a file. */
  file(name: string): Uint8Array | undefined {
    const entry = this.#files.find((row) => row.name === name);
    return entry && this.#items.get(entry.key);
  }

  /** See: QEMU docs/specs/fw_cfg, File Directory. Numbers are big-endian, names in order. */
  #describeFiles(): void {
    const directory = new Uint8Array(4 + FILE_ENTRY_BYTES * this.#files.length);
    const view = new DataView(directory.buffer);
    view.setUint32(0, this.#files.length);
    const sorted = this.#files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    for (const [index, { name, key, size }] of sorted.entries()) {
      const at = 4 + FILE_ENTRY_BYTES * index;
      view.setUint32(at, size);
      view.setUint16(at + 4, key);
      directory.set(ascii(name), at + 8);
    }
    this.setBytes('FILE_DIR', directory);
  }

  /** The data register is a byte; other widths of it, and reads of the selector, give nothing. */
  readPort(port: number, width: 1 | 2 | 4): number {
    if (port >= DMA_ADDRESS_HIGH) return readLittleEndian(DMA_SIGNATURE_BYTES, port - DMA_ADDRESS_HIGH, width);
    return width === 1 ? this.#nextByte() : 0;
  }

  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    if (port === SELECTOR && width === 2) this.select(value);
    else if (port === DMA_ADDRESS_HIGH && width === 4) this.state.dmaHigh = swapped(value);
    else if (port === DMA_ADDRESS_LOW && width === 4) this.#runDma(swapped(value));
  }

  select(selector: number): void {
    this.state.selector = selector & ~SELECTOR_WRITE;
    this.state.offset = 0;
  }

  #nextByte(): number {
    return this.selectedItem[this.state.offset++] ?? 0;
  }

  /** Empty if there is no such item. */
  get selectedItem(): Uint8Array {
    return this.#items.get(this.state.selector) ?? new Uint8Array(0);
  }

  get selectedIsWritable(): boolean {
    return this.#writableKeys.has(this.state.selector);
  }

  #runDma(low: number): void {
    const address = this.state.dmaHigh * 2 ** 32 + low;
    this.state.dmaHigh = 0;
    runFwCfgDma(this, this.#memory, address);
  }

  reset(): void {
    this.state.selector = 0;
    this.state.offset = 0;
    this.state.dmaHigh = 0;
  }

  save(): StateRecord {
    return copyState(this.state);
  }

  restore(saved: StateRecord): void {
    restoreState(this.state, saved);
  }
}

const DMA_SIGNATURE_BYTES = ascii(DMA_SIGNATURE);

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The DMA address register is big-endian: what a little-endian port write carries, the other way round. */
function swapped(value: number): number {
  return [0, 1, 2, 3].reduce((sum, index) => sum * 256 + byteOf(value, index), 0);
}
