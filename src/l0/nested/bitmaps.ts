// SPDX-License-Identifier: Apache-2.0
// I/O and MSR bitmaps: what L1's say of an access of L2, and the bitmaps that the hardware gets for L2. An access exits
// if one of the two hypervisors wants it: the or of their bitmaps.
// See: SDM 25.6.4 I/O-Bitmap Addresses, 25.6.9 MSR-Bitmap Address

import { PRIMARY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import type { VmcsView } from '../../arch/vmx/vmcs-view.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { HostMemory, HostPhysical } from '../../hardware/vmx.ts';

const { CPU_BASED_VM_EXEC_CONTROL, IO_BITMAP_A, IO_BITMAP_B, MSR_BITMAP } = OFFSET;
const PAGE_BYTES = 4096;
const PORTS_PER_BITMAP = 0x8000;
const HIGH_MSRS = 0xc0000000;
const MSRS_PER_BITMAP = 0x2000;
/** Bytes: reads of low MSRs, reads of high ones, writes of low ones, writes of high ones. */
const HALF_PAGE = 0x800;
const QUARTER_PAGE = 0x400;

/** L1's memory; where there is none, bytes read as all ones. */
export interface BitmapMemory {
  read(address: PhysicalAddress, bytes: Uint8Array): void;
}

const byte = new Uint8Array(1);

function bit(memory: BitmapMemory, bitmap: PhysicalAddress, number: number): boolean {
  memory.read(bitmap + (number >>> 3), byte);
  return ((byte[0] >>> (number & 7)) & 1) !== 0;
}

/** Whether the controls of `view` make an access to `bytes` ports from `port` on exit. One that wraps around does, with bitmaps. */
export function ioExits(view: VmcsView, memory: BitmapMemory, port: number, bytes: number): boolean {
  const primary = view.low(CPU_BASED_VM_EXEC_CONTROL);
  if ((primary & PRIMARY.USE_IO_BITMAPS) === 0) return (primary & PRIMARY.UNCONDITIONAL_IO_EXITING) !== 0;
  if (port + bytes > 0x10000) return true;
  for (let each = port; each < port + bytes; each++) {
    const bitmap = each < PORTS_PER_BITMAP ? IO_BITMAP_A : IO_BITMAP_B;
    if (bit(memory, addressAt(view, bitmap), each % PORTS_PER_BITMAP)) return true;
  }
  return false;
}

/** Whether they make RDMSR or WRMSR of an MSR (unsigned) exit. */
export function msrExits(view: VmcsView, memory: BitmapMemory, index: number, write: boolean): boolean {
  if ((view.low(CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.USE_MSR_BITMAPS) === 0) return true;
  const high = index >= HIGH_MSRS;
  const number = high ? index - HIGH_MSRS : index;
  if (number >= MSRS_PER_BITMAP) return true;
  return bit(memory, addressAt(view, MSR_BITMAP) + (write ? HALF_PAGE : 0) + (high ? QUARTER_PAGE : 0), number);
}

/** Bytes of the four quarters of an MSR bitmap that hold x2APIC registers: MSRs 800H to 8FFH are low ones. */
const X2APIC_FIRST = 0x800 >> 3;
const X2APIC_LAST = 0x8ff >> 3;

const PAGE_WORDS = PAGE_BYTES / 4;

/** The bytes of a page, and the words in which pages are compared and or-ed: an entry of L2 waits for it. */
class Page {
  readonly words = new Int32Array(PAGE_WORDS);
  readonly bytes = new Uint8Array(this.words.buffer);

  equals(other: Page): boolean {
    const { words } = this;
    const others = other.words;
    for (let i = 0; i < PAGE_WORDS; i++) if (words[i] !== others[i]) return false;
    return true;
  }
}

/** One page that the hardware reads for L2: the or of L0's page and L1's. L0's does not change. */
export class MergedBitmap {
  readonly page: HostPhysical;
  readonly #memory: HostMemory;
  /** L1's page now, and as it was when the merged page was last written. */
  readonly #now = new Page();
  readonly #merged12 = new Page();
  readonly #written = new Page();
  /** L0's page that went into the merged one; undefined: nothing is known of it. */
  #merged01: HostPhysical | undefined;

  /** `page`: L0's own. */
  constructor(memory: HostMemory, page: HostPhysical) {
    this.#memory = memory;
    this.page = page;
  }

  /**
   * `page01`: L0's own; `l1`, `page12`: L1's; -1: none, which wants nothing. `msr`: x2APIC registers exit whatever the
   * two say, since a hole there would let L2 at a local APIC that is not its own. One bitmap is always of one kind.
   */
  merge(page01: HostPhysical, l1: BitmapMemory, page12: PhysicalAddress, msr: boolean): void {
    if (page12 < 0) this.#now.words.fill(0);
    else l1.read(page12, this.#now.bytes);
    // L1 may write into its page at any time, and nobody tells.
    if (page01 === this.#merged01 && this.#now.equals(this.#merged12)) return;
    this.#merged01 = page01;
    this.#merged12.words.set(this.#now.words);
    this.#write(page01, msr);
  }

  /** After a snapshot was restored: the page is what it was then. */
  restored(): void {
    this.#merged01 = undefined;
  }

  #write(page01: HostPhysical, msr: boolean): void {
    const { words, bytes } = this.#written;
    if (page01 < 0) words.fill(0);
    else this.#memory.read(page01, bytes);
    for (let i = 0; i < PAGE_WORDS; i++) words[i] |= this.#merged12.words[i];
    if (msr) for (const half of [0, HALF_PAGE]) bytes.fill(0xff, half + X2APIC_FIRST, half + X2APIC_LAST + 1);
    this.#memory.write(this.page, bytes);
  }
}
