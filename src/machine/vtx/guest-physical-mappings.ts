// SPDX-License-Identifier: Apache-2.0
import type { PhysicalAddress } from '../../hardware/memory.ts';

const ENTRIES = 2048;
const PAGE = 0x1000;
/** Pages of a guest-physical address space: what is below the tag in a key. */
const PAGES = 2 ** 36;
const MOST_TAGS = 2 ** 16;
/** Beside EPT_ACCESS bits: a write needs no walk. */
const WRITABLE = 8;

/**
 * Guest-physical mappings of one processor: pages that a walk of the EPT has led to, by EPT pointer. INVLPG, INVPCID and
 * MOV to CR3 leave them, so that walking a guest's tables again does not walk the EPT at each level again.
 * See: SDM 29.4.1 Information That May Be Cached, 29.4.3.1 Operations that Invalidate Cached Mappings
 */
export class GuestPhysicalMappings {
  /** Of the entry found last: machine-physical address of the page, EPT_ACCESS bits, and what `walker.writable` says. */
  page: PhysicalAddress = 0;
  permissions = 0;
  writable = false;
  private readonly keys = new Float64Array(ENTRIES);
  private readonly pages = new Float64Array(ENTRIES);
  private readonly rights = new Uint8Array(ENTRIES);
  private readonly tags = new Map<string, number>();
  private tag = 0;
  private nextTag = 1;
  private root: PhysicalAddress = -1;
  private accessedDirty = false;

  /** The EPT pointer that is in use from now on. */
  select(root: PhysicalAddress, accessedDirty: boolean): void {
    if (root === this.root && accessedDirty === this.accessedDirty) return;
    this.root = root;
    this.accessedDirty = accessedDirty;
    this.chooseTag();
  }
  private chooseTag(): void {
    const key = `${this.root}.${this.accessedDirty ? 1 : 0}`;
    let tag = this.tags.get(key);
    if (tag === undefined) {
      if (this.nextTag === MOST_TAGS) this.clear();
      tag = this.nextTag++;
      this.tags.set(key, tag);
    }
    this.tag = tag;
  }

  /** INVEPT: of one root, whatever the pointer's other bits; of all when it is undefined. */
  forget(root: PhysicalAddress | undefined): void {
    if (root === undefined) this.tags.clear();
    else for (const bit of [0, 1]) this.tags.delete(`${root}.${bit}`);
    this.chooseTag();
  }

  /** Whether an access that needs these EPT_ACCESS bits, `write` being one, is known to be permitted and to set no flag. */
  find(address: PhysicalAddress, needed: number, write: number): boolean {
    const number = Math.floor(address / PAGE);
    const i = number & (ENTRIES - 1);
    if (this.keys[i] !== this.tag * PAGES + number) return false;
    const rights = this.rights[i];
    if ((rights & needed) !== needed || ((needed & write) !== 0 && (rights & WRITABLE) === 0)) return false;
    this.page = this.pages[i];
    this.permissions = rights & ~WRITABLE;
    this.writable = (rights & WRITABLE) !== 0;
    return true;
  }

  /** After a walk; `page` is the machine-physical address of the 4 KiB page. */
  keep(address: PhysicalAddress, page: PhysicalAddress, permissions: number, writable: boolean): void {
    const number = Math.floor(address / PAGE);
    const i = number & (ENTRIES - 1);
    this.keys[i] = this.tag * PAGES + number;
    this.pages[i] = page;
    this.rights[i] = permissions | (writable ? WRITABLE : 0);
  }

  /** An EPT violation or misconfiguration was met. */
  drop(address: PhysicalAddress): void {
    const number = Math.floor(address / PAGE);
    const i = number & (ENTRIES - 1);
    if (this.keys[i] === this.tag * PAGES + number) this.keys[i] = 0;
  }

  private clear(): void {
    this.keys.fill(0);
    this.tags.clear();
    this.nextTag = 1;
  }
}
