// SPDX-License-Identifier: Apache-2.0
// Address translation as the manual words it, in BigInt, with nothing of src: first the tables of the guest, then, with
// EPT, those of its hypervisor, for each address that the first ones give.
// See: SDM Chapter 4 Paging; 29.3.2 EPT Translation Mechanism; 29.3.3 EPT-Induced VM Exits.

export const MAXPHYADDR = 39n;

export interface Tables {
  /** 8 bytes, all ones where there is no memory. */
  read(address: bigint): bigint;
}

export interface Paging {
  readonly kind: 'none' | '32-bit' | 'PAE' | '4-level';
  readonly cr3: bigint;
  /** PAE paging: the four registers. */
  readonly pdptes: readonly bigint[];
  readonly WP: boolean;
  readonly PSE: boolean;
  readonly NXE: boolean;
  readonly SMEP: boolean;
  readonly SMAP: boolean;
  readonly page1GB: boolean;
}

export interface Ept {
  readonly root: bigint;
  readonly accessedDirty: boolean;
  readonly executeOnly: boolean;
  readonly page1GB: boolean;
}

export interface Access {
  readonly linear: bigint;
  readonly what: 'read' | 'write' | 'fetch';
  /** CPL 3 and explicit; supervisor with RFLAGS.AC = 0 or 1; or of the processor itself, to a descriptor table, say. */
  readonly by: 'user' | 'supervisor' | 'supervisor AC' | 'implicit';
}

/** Flags that the access sets in entries: address of the 8 bytes, bits to be or-ed. In the order in which they are set. */
export type Flags = ReadonlyMap<bigint, bigint>;

export type Outcome =
  | { readonly is: 'address'; readonly physical: bigint; readonly pageShift: bigint; readonly flags: Flags }
  | { readonly is: 'page fault'; readonly errorCode: number; readonly flags: Flags }
  | { readonly is: 'violation'; readonly address: bigint; readonly qualification: number; readonly flags: Flags }
  | { readonly is: 'misconfiguration'; readonly address: bigint; readonly flags: Flags };

const bit = (value: bigint, n: bigint): boolean => ((value >> n) & 1n) === 1n;
/** Bits high:low. */
const bits = (value: bigint, high: bigint, low: bigint): bigint => (value >> low) & ((1n << (high - low + 1n)) - 1n);
/** The value with bits high:low where they are, and zeros elsewhere. */
const field = (value: bigint, high: bigint, low: bigint): bigint => bits(value, high, low) << low;
const anyBit = (value: bigint, high: bigint, low: bigint): boolean => high >= low && bits(value, high, low) !== 0n;

class Stopped extends Error {
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    super(outcome.is);
    this.outcome = outcome;
  }
}

interface Level {
  /** Bits of the linear address that index this level's table. */
  readonly high: bigint;
  readonly low: bigint;
  /** PS = 1 may map a page. */
  readonly large: boolean;
}

/** See: SDM Figures 4-2 to 4-10, Linear-Address Translation. */
function levelsOf(paging: Paging): readonly Level[] {
  if (paging.kind === '32-bit')
    return [
      { high: 31n, low: 22n, large: paging.PSE },
      { high: 21n, low: 12n, large: false },
    ];
  const lower: Level[] = [
    { high: 29n, low: 21n, large: true },
    { high: 20n, low: 12n, large: false },
  ];
  if (paging.kind === 'PAE') return lower;
  return [{ high: 47n, low: 39n, large: false }, { high: 38n, low: 30n, large: paging.page1GB }, ...lower];
}

/** Translates one access, and says which flags it sets and how it ends. Changes nothing. */
export function translate(tables: Tables, paging: Paging, ept: Ept | undefined, access: Access): Outcome {
  try {
    return new Walk(tables, paging, ept, access).run();
  } catch (error) {
    if (error instanceof Stopped) return error.outcome;
    throw error;
  }
}

class Walk {
  private readonly tables: Tables;
  private readonly paging: Paging;
  private readonly ept: Ept | undefined;
  private readonly access: Access;
  private readonly flags = new Map<bigint, bigint>();

  constructor(tables: Tables, paging: Paging, ept: Ept | undefined, access: Access) {
    this.tables = tables;
    this.paging = paging;
    this.ept = ept;
    this.access = access;
  }

  run(): Outcome {
    const { guestPhysical, pageShift } = this.guest();
    const { what } = this.access;
    const physical = this.second(guestPhysical, what === 'read' ? 1n : what === 'write' ? 2n : 4n, true);
    return { is: 'address', physical, pageShift, flags: this.flags };
  }

  /** The value that is read now: what the walk itself has set is there. */
  private read(address: bigint, width: bigint): bigint {
    const aligned = address & ~7n;
    const whole = this.tables.read(aligned) | (this.flags.get(aligned) ?? 0n);
    return width === 8n ? whole : (whole >> ((address & 4n) * 8n)) & 0xffff_ffffn;
  }
  private set(address: bigint, flags: bigint): void {
    const aligned = address & ~7n;
    const shifted = flags << ((address & 4n) * 8n);
    if ((this.tables.read(aligned) & shifted) !== shifted)
      this.flags.set(aligned, (this.flags.get(aligned) ?? 0n) | shifted);
  }

  private guest(): { guestPhysical: bigint; pageShift: bigint } {
    const { paging, access } = this;
    const linear = paging.kind === '4-level' ? BigInt.asUintN(64, access.linear) : BigInt.asUintN(32, access.linear);
    if (paging.kind === 'none') return { guestPhysical: linear, pageShift: 32n };
    const width = paging.kind === '32-bit' ? 4n : 8n;
    let table = paging.kind === '4-level' ? field(paging.cr3, MAXPHYADDR - 1n, 12n) : field(paging.cr3, 31n, 12n);
    if (paging.kind === 'PAE') {
      const pdpte = paging.pdptes[Number(bits(linear, 31n, 30n))];
      if (!bit(pdpte, 0n)) this.pageFault(false, false);
      table = field(pdpte, MAXPHYADDR - 1n, 12n);
    }
    /** Rights are what all entries of the way give. */
    let [writable, user, executeDisable] = [true, true, false];
    const way: { host: bigint; entry: bigint }[] = [];
    for (const level of levelsOf(paging)) {
      const address = table + bits(linear, level.high, level.low) * width;
      const structure = this.structure(address);
      const entry = this.read(structure.host, width);
      if (!bit(entry, 0n)) this.pageFault(false, false);
      const page = level.low === 12n || (level.large && bit(entry, 7n));
      if (this.reserved(entry, level, page)) this.pageFault(true, true);
      writable &&= bit(entry, 1n);
      user &&= bit(entry, 2n);
      executeDisable ||= width === 8n && bit(entry, 63n);
      if (page && !this.permitted(writable, user, executeDisable)) this.pageFault(true, false);
      way.push({ host: structure.host, entry });
      const dirty = page && access.what === 'write';
      const wanted = dirty ? 0x60n : 0x20n;
      if (!structure.writable && (entry & wanted) !== wanted) this.violation(address, 3n, structure.permissions, false);
      if (!page) {
        table = width === 4n ? field(entry, 31n, 12n) : field(entry, MAXPHYADDR - 1n, 12n);
        continue;
      }
      way.forEach((each, n) => this.set(each.host, n === way.length - 1 ? wanted : 0x20n));
      const base =
        width === 8n
          ? field(entry, MAXPHYADDR - 1n, level.low)
          : page && level.low === 22n
            ? // PSE-36: bits 39:32 of the address are bits 20:13 of the entry.
              field(entry, 31n, 22n) | (bits(entry, 12n + (MAXPHYADDR - 32n), 13n) << 32n)
            : field(entry, 31n, 12n);
      return { guestPhysical: base | field(linear, level.low - 1n, 0n), pageShift: level.low };
    }
    throw new Error('the last level maps a page');
  }

  /** See: SDM Tables 4-4 to 4-6, 4-9 to 4-12, 4-15 to 4-20, Format of an entry: "Reserved (must be 0)". */
  private reserved(entry: bigint, level: Level, page: boolean): boolean {
    const { paging } = this;
    if (paging.kind === '32-bit')
      // PDE with PS = 1: bits 21:(M - 19), where M is the least of 40 and MAXPHYADDR.
      return page && level.low === 22n && anyBit(entry, 21n, MAXPHYADDR - 19n);
    if (anyBit(entry, 51n, MAXPHYADDR)) return true;
    if (!paging.NXE && bit(entry, 63n)) return true;
    if (paging.kind === 'PAE' && anyBit(entry, 62n, 52n)) return true;
    if (level.low === 39n) return bit(entry, 7n);
    if (level.low === 30n && !level.large) return bit(entry, 7n);
    return page && level.low > 12n && anyBit(entry, level.low - 1n, 13n);
  }

  /** See: SDM 4.6.1 Determination of Access Rights. */
  private permitted(writable: boolean, userPage: boolean, executeDisable: boolean): boolean {
    const { paging, access } = this;
    const { WP, NXE, SMEP, SMAP } = paging;
    if (access.by === 'user') {
      if (!userPage) return false;
      if (access.what === 'fetch') return !(NXE && executeDisable);
      return access.what === 'read' || writable;
    }
    if (access.what === 'fetch') return !(NXE && executeDisable) && !(userPage && SMEP);
    if (userPage && SMAP && access.by !== 'supervisor AC') return false;
    return access.what === 'read' || writable || !WP;
  }

  /** See: SDM 4.7 Page-Fault Exceptions. */
  private pageFault(present: boolean, reserved: boolean): never {
    const { paging, access } = this;
    const tellsFetch = paging.SMEP || (paging.kind !== '32-bit' && paging.NXE);
    const errorCode =
      (present ? 1 : 0) |
      (access.what === 'write' ? 2 : 0) |
      (access.by === 'user' ? 4 : 0) |
      (reserved ? 8 : 0) |
      (access.what === 'fetch' && tellsFetch ? 16 : 0);
    throw new Stopped({ is: 'page fault', errorCode, flags: this.flags });
  }

  /** An entry of the guest's tables. With accessed and dirty flags for EPT its access counts as a write. */
  private structure(guestPhysical: bigint): { host: bigint; writable: boolean; permissions: bigint } {
    const { ept } = this;
    if (ept === undefined) return { host: guestPhysical, writable: true, permissions: 7n };
    const host = this.second(guestPhysical, ept.accessedDirty ? 3n : 1n, false);
    const permissions = this.permissions;
    return { host, writable: (permissions & 2n) !== 0n, permissions };
  }

  /** What EPT permits at the address translated last. */
  private permissions = 7n;

  /** `needed`: bits 0 read, 1 write, 2 fetch. `translated`: the address is what the linear one translates to. */
  private second(guestPhysical: bigint, needed: bigint, translated: boolean): bigint {
    const { ept } = this;
    if (ept === undefined) return guestPhysical;
    let table = ept.root;
    let permissions = 7n;
    const way: bigint[] = [];
    for (const low of [39n, 30n, 21n, 12n]) {
      const address = table + bits(guestPhysical, low + 8n, low) * 8n;
      const entry = this.read(address, 8n);
      if ((entry & 7n) === 0n) this.violation(guestPhysical, needed, 0n, translated);
      const page = low === 12n || (low < 39n && bit(entry, 7n));
      if (this.misconfigured(entry, low, page))
        throw new Stopped({ is: 'misconfiguration', address: guestPhysical, flags: this.flags });
      permissions &= entry & 7n;
      way.push(address);
      if (!page) {
        table = field(entry, MAXPHYADDR - 1n, 12n);
        continue;
      }
      if ((permissions & needed) !== needed) this.violation(guestPhysical, needed, permissions, translated);
      if (ept.accessedDirty) {
        const last = (needed & 2n) !== 0n ? 0x300n : 0x100n;
        way.forEach((each, n) => this.set(each, n === way.length - 1 ? last : 0x100n));
      }
      this.permissions = permissions;
      return field(entry, MAXPHYADDR - 1n, low) | field(guestPhysical, low - 1n, 0n);
    }
    throw new Error('the last level maps a page');
  }

  /** See: SDM 29.3.3.1 EPT Misconfigurations. */
  private misconfigured(entry: bigint, low: bigint, page: boolean): boolean {
    const { ept } = this;
    const rights = entry & 7n;
    if (rights === 2n || rights === 6n) return true;
    if (rights === 4n && !ept!.executeOnly) return true;
    if (anyBit(entry, 51n, MAXPHYADDR)) return true;
    if (low === 39n) return anyBit(entry, 7n, 3n);
    if (low === 30n && page && !ept!.page1GB) return true;
    if (!page) return anyBit(entry, 6n, 3n);
    const memoryType = bits(entry, 5n, 3n);
    if (memoryType === 2n || memoryType === 3n || memoryType === 7n) return true;
    return low > 12n && anyBit(entry, low - 1n, 12n);
  }

  /** See: SDM Table 28-7 Exit Qualification for EPT Violations. The linear address is always valid here. */
  private violation(guestPhysical: bigint, needed: bigint, permissions: bigint, translated: boolean): never {
    const qualification = Number(needed | (permissions << 3n) | 0x80n | (translated ? 0x100n : 0n));
    throw new Stopped({ is: 'violation', address: guestPhysical, qualification, flags: this.flags });
  }
}
