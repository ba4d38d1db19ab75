// SPDX-License-Identifier: Apache-2.0
// What L0 must never let an L1 do: make it work without bound, change its memory, or reach what is not L1's.
import { PRIMARY, SECONDARY } from '../../src/arch/vmx/controls.ts';
import { OFFSET } from '../../src/arch/vmx/fields.ts';
import { assert } from '../../src/base/assert.ts';
import type { ExitVerdict, RootProcessor } from '../../src/hardware/vmx.ts';
import { CHUNK_BYTES, L1Memory } from '../../src/l0/l1-memory.ts';
import { RAM_BYTES } from './layout.ts';
import type { L0Side } from './machines.ts';
import { OtherProcessor } from './races.ts';
import type { Race } from './races.ts';

const PAGE = 0x1000;
const TWO_32 = 0x1_0000_0000;
/** Accesses to memory that serving one exit may take. The largest is an MSR list of all of L1's memory. */
const MOST_ACCESSES = 3_000_000;
/** Exits to L0 in which no instruction is completed. An instruction may miss several pages, and these tables of L1's. */
const MOST_EXITS = 1000;

/** As a device would: what L0 writes is counted, and this is not L0's. `bytes` lie in one page. */
function writeL1({ pc }: L0Side, at: number, bytes: Uint8Array): void {
  const host: number = pc.l0.l1.memory.translate(at);
  pc.machine.memory.write(host, bytes);
}

export class Containment {
  /** Since the machine was made. */
  mostAccesses = 0;
  exits = 0;
  private looks = 0;
  private readonly side: L0Side;
  private accesses = 0;
  private exitsOfInstruction = 0;
  private ticks = 0;
  private thorough = false;
  /** What L0 had in its pages when it entered last, by address. */
  private readonly kept = new Map<number, Buffer>();
  /** Pages that the processor writes by itself: every VMCS of L0's. */
  private readonly vmcss = new Set<number>();
  private readonly other: OtherProcessor;
  private readonly l1: { readonly from: number; readonly to: number };

  constructor(side: L0Side) {
    this.side = side;
    const { l0 } = side.pc;
    const from = Math.min(...l0.l1.memory.chunks.filter((chunk) => chunk >= 0));
    this.l1 = { from, to: from + L1Memory.hostBytes(RAM_BYTES) };
    assert(from % CHUNK_BYTES === 0 && from >= l0.allocator.end, 'L1 lies above L0');
    this.other = new OtherProcessor((at, bytes) => writeL1(side, at, bytes));
    this.countAccesses();
    this.noteVmcss();
    const exit = l0.exit.bind(l0);
    l0.exit = (processor) => this.around(processor, exit);
  }

  begin(thorough: boolean, races: readonly Race[] = []): void {
    this.thorough = thorough;
    this.other.begin(races);
    this.exitsOfInstruction = 0;
    this.kept.clear();
  }

  /** How often everything was looked at since the last call. */
  takeLooks(): number {
    const { looks } = this;
    this.looks = 0;
    return looks;
  }

  private around(processor: RootProcessor, exit: (processor: RootProcessor) => ExitVerdict): ExitVerdict {
    this.countExit();
    this.exits++;
    if (this.thorough) assert(!this.ownMemoryChanged(), `the guest changed memory of L0's`);
    this.accesses = 0;
    this.other.exit();
    const verdict = exit(processor);
    if (this.accesses > this.mostAccesses) this.mostAccesses = this.accesses;
    if (this.thorough) this.look(processor);
    return verdict;
  }

  private countExit(): void {
    const { ticks } = this.side.pc.machine;
    this.exitsOfInstruction = ticks === this.ticks ? this.exitsOfInstruction + 1 : 0;
    this.ticks = ticks;
    assert(this.exitsOfInstruction < MOST_EXITS, 'L0 comes to an end with an instruction');
  }

  /** What guests reach now is L1's, and what L0 has is remembered. */
  private look(processor: RootProcessor): void {
    this.looks++;
    const { ept01, apicAccessPage } = this.side.pc.l0.l1;
    this.checkMappings(ept01.pointer, 'EPT01', apicAccessPage);
    if (this.side.inL2()) this.checkVmcs02(processor);
    this.keepOwnMemory();
  }

  private countAccesses(): void {
    const { memory } = this.side.pc.l0;
    const count = (): void => {
      this.other.access(this.accesses);
      if (++this.accesses > MOST_ACCESSES)
        throw new Error(`L0 took more than ${MOST_ACCESSES} accesses to serve one exit`);
    };
    for (const name of ['read32', 'write32', 'read', 'write'] as const) {
      const plain = memory[name].bind(memory) as (address: number, value: never) => number;
      Object.assign(memory, { [name]: (address: number, value: never) => (count(), plain(address, value)) });
    }
  }

  private noteVmcss(): void {
    const { vmx } = this.side.unit;
    assert(vmx, 'VT-x');
    const makeCurrent = vmx.makeCurrent.bind(vmx);
    vmx.makeCurrent = (address) => {
      this.vmcss.add(address);
      makeCurrent(address);
    };
    this.vmcss.add(vmx.state.currentVmcs);
  }

  /** The pages that L0 has in use, without those that the processor writes. */
  private keepOwnMemory(): void {
    const { l0 } = this.side.pc;
    const { used } = l0.allocator.state;
    const tables = new Set<number>();
    for (const root of this.side.nested.of(l0.vcpus[0]).multiDimensional.state.roots)
      if (root >= 0) this.tablesOf(root, 4, tables);
    const { start } = l0.allocator;
    for (const address of this.kept.keys())
      if (used[(address - start) / PAGE] === 0 || tables.has(address)) this.kept.delete(address);
    for (let page = used.indexOf(1); page >= 0; page = used.indexOf(1, page + 1)) {
      const address = start + page * PAGE;
      if (!this.vmcss.has(address) && !tables.has(address)) this.keep(address);
    }
  }

  private keep(address: number): void {
    const there = this.kept.get(address);
    if (there === undefined) this.kept.set(address, Buffer.from(this.pageAt(address)));
    else there.set(this.pageAt(address));
  }

  private pageAt(address: number): Uint8Array {
    const { memory } = this.side.pc.machine;
    const at = memory.host(address);
    return memory.u8.subarray(at, at + PAGE);
  }

  private ownMemoryChanged(): boolean {
    for (const [address, bytes] of this.kept)
      if (!this.vmcss.has(address) && bytes.compare(this.pageAt(address)) !== 0) return true;
    return false;
  }

  private tablesOf(table: number, level: number, found: Set<number>): void {
    found.add(table);
    if (level === 1) return;
    this.entries(table, (low, target) => {
      if ((low & 0x80) === 0) this.tablesOf(target, level - 1, found);
    });
  }

  private entries(table: number, each: (low: number, target: number, index: number) => void): void {
    const { memory } = this.side.pc.machine;
    const first = memory.host(table) >>> 2;
    for (let index = 0; index < 512; index++) {
      const low = memory.i32[first + 2 * index];
      if ((low & 7) !== 0) each(low, memory.i32[first + 2 * index + 1] * TWO_32 + ((low & ~0xfff) >>> 0), index);
    }
  }

  /** Every page that a second level maps is L1's, or the APIC-access page, at which accesses exit. -1: there is none. */
  private checkMappings(
    pointer: { readonly low: number; readonly high: number },
    what: string,
    apicAccessPage: number,
  ): void {
    const walk = (table: number, level: number): void =>
      this.entries(table, (low, target) => {
        const leaf = level === 1 || (low & 0x80) !== 0;
        if (!leaf) return walk(target, level - 1);
        const bytes = PAGE * 512 ** (level - 1);
        const reachable = this.isOfL1(target, bytes) || (bytes === PAGE && target === apicAccessPage);
        assert(reachable, `${what} leads to ${target.toString(16)}`);
      });
    walk(pointer.high * TWO_32 + ((pointer.low & ~0xfff) >>> 0), 4);
  }

  private isOfL1(address: number, bytes: number): boolean {
    return address >= this.l1.from && address + bytes <= this.l1.to;
  }

  /** vmcs02 is current: what the processor uses for L2 is L0's own or L1's. */
  private checkVmcs02(processor: RootProcessor): void {
    const own = (address: number): boolean => address >= 0 && address < this.side.pc.l0.allocator.end;
    const address = (offset: number): number => processor.readHigh(offset) * TWO_32 + processor.readLow(offset);
    const primary = processor.readLow(OFFSET.CPU_BASED_VM_EXEC_CONTROL);
    const secondary = processor.readLow(OFFSET.SECONDARY_VM_EXEC_CONTROL);
    const access = secondary & SECONDARY.VIRTUALIZE_APIC_ACCESSES ? address(OFFSET.APIC_ACCESS_ADDR) : -1;
    this.checkMappings(
      { low: processor.readLow(OFFSET.EPT_POINTER), high: processor.readHigh(OFFSET.EPT_POINTER) },
      'EPT02',
      access,
    );
    if (primary & PRIMARY.USE_MSR_BITMAPS) assert(own(address(OFFSET.MSR_BITMAP)), "the MSR bitmap is L0's");
    if (primary & PRIMARY.USE_IO_BITMAPS)
      assert(own(address(OFFSET.IO_BITMAP_A)) && own(address(OFFSET.IO_BITMAP_B)), "the I/O bitmaps are L0's");
    const { l0 } = this.side.pc;
    const standsForOne = access === l0.l1.apicAccessPage || access === this.side.nested.of(l0.vcpus[0]).standIn;
    assert(access < 0 || standsForOne || this.isOfL1(access, PAGE), "the APIC-access page is L1's or stands for one");
    assert((secondary & SECONDARY.ENABLE_EPT) !== 0, 'L2 runs with EPT');
  }
}
