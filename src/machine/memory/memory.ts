// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../base/assert.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import { WebAssembly } from '../webassembly.ts';
import type { WasmMemory } from '../webassembly.ts';
import { blockOperations } from './block-operations.ts';
import type { BlockOperations } from './block-operations.ts';
import { PAGE_SIZE, memoryLayout } from './layout.ts';
import type { MemoryLayout } from './layout.ts';

/** Host-physical for us: an address in the WebAssembly memory; -1 where there is no RAM. */
export type HostAddress = number & { readonly __space?: 'host' };

/** Told before bytes of a page that holds translated code change. */
export interface CodeWatcher {
  /** The host page numbers that hold translated code, one bit each. */
  readonly codePages: Uint8Array;
  codeWritten(host: HostAddress, length: number): void;
}

const FOUR_GIB = 0x100000000;

/**
 * The one WebAssembly memory: processors' state, TLBs and records, then guest RAM. RAM fills guest-physical addresses
 * from 0 up to the PCI hole; what does not fit below it continues at 4 GiB.
 */
export class Memory {
  readonly layout: MemoryLayout;
  readonly wasm: WasmMemory;
  readonly buffer: ArrayBuffer;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly view: DataView;
  readonly blocks: BlockOperations;
  readonly ramBytes: number;
  /** Bytes of RAM below the hole. */
  readonly lowRam: number;
  /** Host pages that compiled code was ever allowed to write, as bytes. */
  readonly written: Uint8Array;
  /** Grows whenever translated code is dropped. */
  codeGeneration = 0;
  private watcher: CodeWatcher | undefined;

  /** `hole` is the guest-physical start of the PCI hole, which reaches to 4 GiB. */
  constructor(processors: number, ramBytes: number, hole: PhysicalAddress, recordPoolBytes?: number) {
    assert(ramBytes % PAGE_SIZE === 0, 'RAM is whole pages');
    this.layout = memoryLayout(processors, ramBytes, recordPoolBytes);
    this.wasm = new WebAssembly.Memory({ initial: this.layout.size / 0x10000, maximum: this.layout.size / 0x10000 });
    this.buffer = this.wasm.buffer;
    this.u8 = new Uint8Array(this.buffer);
    this.u16 = new Uint16Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
    this.u64 = new BigUint64Array(this.buffer);
    this.view = new DataView(this.buffer);
    this.blocks = blockOperations(this.wasm);
    this.written = new Uint8Array(this.layout.size / PAGE_SIZE);
    this.ramBytes = ramBytes;
    this.lowRam = Math.min(ramBytes, hole);
  }

  watch(watcher: CodeWatcher): void {
    this.watcher = watcher;
  }

  /** Host address of a guest-physical one, or -1 where no RAM answers. */
  host(address: PhysicalAddress): HostAddress {
    if (address < this.lowRam) return this.layout.ram + address;
    const above = address - FOUR_GIB + this.lowRam;
    return address >= FOUR_GIB && above < this.ramBytes ? this.layout.ram + above : -1;
  }

  /** The inverse of `host`, for addresses in RAM. */
  physical(host: HostAddress): PhysicalAddress {
    const offset = (host >>> 0) - this.layout.ram;
    return offset < this.lowRam ? offset : offset - this.lowRam + FOUR_GIB;
  }

  /** Whether the page at a host address is known to be all zeros, without the host backing it for the look. */
  stillZero(host: HostAddress): boolean {
    return this.written[host >>> 12] === 0 && this.blocks.isZero(host, PAGE_SIZE);
  }

  /** Copies out of guest RAM; bytes that no RAM backs read as all ones. */
  read(address: PhysicalAddress, bytes: Uint8Array): void {
    this.forEachPiece(address, bytes.length, (host, offset, length) => {
      if (host < 0) bytes.fill(0xff, offset, offset + length);
      else bytes.set(this.u8.subarray(host, host + length), offset);
    });
  }

  /** Every write to guest RAM that TypeScript makes comes here: translated code under it is dropped. */
  write(address: PhysicalAddress, bytes: Uint8Array): void {
    this.forEachPiece(address, bytes.length, (host, offset, length) => {
      if (host < 0) return;
      this.noteWrite(host, length);
      this.u8.set(bytes.subarray(offset, offset + length), host);
    });
  }

  /** To be called before TypeScript stores to a host address itself. The range lies in one page. */
  noteWrite(host: HostAddress, length: number): void {
    const watcher = this.watcher;
    if (watcher !== undefined && watcher.codePages[host >>> 12] !== 0) watcher.codeWritten(host, length);
  }

  private forEachPiece(
    address: PhysicalAddress,
    length: number,
    body: (host: number, offset: number, length: number) => void,
  ): void {
    for (let offset = 0; offset < length;) {
      const at = address + offset;
      const piece = Math.min(length - offset, PAGE_SIZE - (at % PAGE_SIZE));
      body(this.host(at), offset, piece);
      offset += piece;
    }
  }
}
