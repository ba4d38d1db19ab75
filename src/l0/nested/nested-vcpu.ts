// SPDX-License-Identifier: Apache-2.0
// What nested VMX keeps for one virtual CPU of L1.

import { initialBasicState } from '../../arch/vmx/basic-checks.ts';
import { SECONDARY } from '../../arch/vmx/controls.ts';
import { fieldExists } from '../../arch/vmx/capabilities.ts';
import { OFFSET, fieldNamed } from '../../arch/vmx/fields.ts';
import { processorFacts } from '../../arch/vmx/processor-facts.ts';
import type { EntryContext } from '../../arch/vmx/processor-facts.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import { copyState, restoreState } from '../../devices/bus-state.ts';
import type { PhysicalAddress } from '../../hardware/memory.ts';
import type { Halves, HostPhysical } from '../../hardware/vmx.ts';
import { eptFeatures } from '../paging/ept-format.ts';
import { MultiDimensionalPaging } from '../paging/multi-dimensional.ts';
import { Ept01WithoutApic, readPdpte, shadowOnEptPointer } from '../paging/shadow-on-ept.ts';
import { VpidMap } from '../paging/vpid.ts';
import { Ept01 } from '../ept01.ts';
import type { Vcpu } from '../vcpu.ts';
import { MergedBitmap } from './bitmaps.ts';
import { Composition, ProcessorView } from './composition.ts';
import type { CompositionPorts } from './composition.ts';
import type { NestedHost } from '../nested-hooks.ts';
import { NestedRecording } from './recording.ts';
import { ShadowVmcs } from './shadow-vmcs.ts';
import { NO_VMCS, Vmcs12 } from './vmcs12.ts';
import { Vmcs02 } from './vmcs02.ts';

const { EPT_POINTER, MSR_BITMAP, IO_BITMAP_A, IO_BITMAP_B } = OFFSET;
/** Hardware VPIDs of L2s; those of vmcs01s are below. */
const FIRST_VPID = 0x100;
const PAGE_BYTES = 0x1000;

/** Plain data; together with vmcs12, the tags and EPT02's slots it is all there is to save. */
export type NestedVcpuState = {
  /** Flag: in VMX operation, as L1 sees it. */
  vmxOperation: number;
  vmxonPointer: PhysicalAddress;
  /** Event that the last entry injected (VM-entry interruption information), 0: none; and the time of that entry. */
  injected: number;
  injectedAtLow: number;
  injectedAtHigh: number;
  /** Pending debug exceptions of that entry. */
  pendingDebugAtEntry: number;
  /** RFLAGS.RF of that entry, in its place. */
  resumeFlagAtEntry: number;
  /** RIP and RSP then: they move when the event is delivered. */
  injectedRipLow: number;
  injectedRipHigh: number;
  injectedRspLow: number;
  injectedRspHigh: number;
  /** RFLAGS.RF, if L0 has set it for an exception of its own that it has injected, 0: it has not. */
  resumeFlagAdded: number;
  /** Flag: L0 completed an instruction of L2 since L2 was last entered. */
  completedForL2: number;
  /** Flag: the instruction that L0 emulates for L2 writes VTPR. */
  vtprWritten: number;
  /** What vmcs02 has in place of L2's IA32_DEBUGCTL.BTF: LENT of branch-steps.ts. */
  lent: number;
  /** The exit reason, if L2 has just left by a window that L0 asked for; 0: it has not. */
  windowMet: number;
  /** When the preemption timer of L2 expires, in the periods in which it counts. */
  timerEnd: number;
};

const initialState = (): NestedVcpuState => ({
  ...{ vmxOperation: 0, vmxonPointer: NO_VMCS },
  ...{
    injected: 0,
    injectedAtLow: 0,
    injectedAtHigh: 0,
    pendingDebugAtEntry: 0,
    resumeFlagAtEntry: 0,
    injectedRipLow: 0,
    injectedRipHigh: 0,
    injectedRspLow: 0,
    injectedRspHigh: 0,
    resumeFlagAdded: 0,
    completedForL2: 0,
    vtprWritten: 0,
    lent: 0,
    windowMet: 0,
    timerEnd: 0,
  },
});

export interface NestedPages {
  /** A page that reads as all ones: what L1 sees where it has no memory. */
  readonly hole: HostPhysical;
  /** Pages that EPT02s of one virtual CPU may take. */
  readonly pageLimit: number;
}

export class NestedVcpu implements CompositionPorts {
  readonly vcpu: Vcpu;
  /** What L1 sees of VMX. */
  readonly shown: VmxCapabilities;
  /** The hardware keeps a guest's IA32_PAT in a field. */
  readonly patInVmcs: boolean;
  readonly context: EntryContext;
  /** What the next entry's first checks look at. */
  readonly basic = initialBasicState();
  readonly vmcs12 = new Vmcs12();
  readonly vmcs02: Vmcs02;
  readonly shadow: ShadowVmcs | undefined;
  readonly multiDimensional: MultiDimensionalPaging;
  readonly vpids: VpidMap;
  readonly state: NestedVcpuState = initialState();
  readonly recording: NestedRecording;
  readonly #host: NestedHost;
  readonly #pages: NestedPages;
  readonly #msrBitmap: MergedBitmap;
  readonly #ioBitmaps: readonly [MergedBitmap, MergedBitmap];
  /** A page of L0's, in the place of an APIC-access page that is no memory of L1. */
  readonly standIn: HostPhysical;
  readonly #ept01WithoutApic: Ept01WithoutApic;
  readonly #view: ProcessorView;

  constructor(host: NestedHost, vcpu: Vcpu, shown: VmxCapabilities, pages: NestedPages) {
    const { memory, allocator } = host;
    const { processor, machine } = vcpu;
    const page = (): HostPhysical => allocator.allocate();
    const { physicalAddressBits } = machine.cpuid;
    this.#host = host;
    this.recording = new NestedRecording(host.recorder);
    this.#pages = pages;
    this.vcpu = vcpu;
    this.shown = shown;
    this.patInVmcs = fieldExists(processor.capabilities, fieldNamed('GUEST_IA32_PAT'));
    this.context = {
      facts: processorFacts(shown, physicalAddressBits),
      ...{ longModeActive: false, inSmm: false, currentVmcs: NO_VMCS },
      readPhysical32: (address) => machine.memory.read32(address),
    };
    this.vmcs02 = new Vmcs02(processor, memory, page());
    this.shadow = ShadowVmcs.supported(processor)
      ? new ShadowVmcs(processor, memory, vcpu.vmcs01, shown, {
          region: page(),
          readBitmap: page(),
          writeBitmap: page(),
        })
      : undefined;
    this.#msrBitmap = new MergedBitmap(memory, page());
    this.#ioBitmaps = [new MergedBitmap(memory, page()), new MergedBitmap(memory, page())];
    this.standIn = page();
    this.#ept01WithoutApic = new Ept01WithoutApic(
      new Ept01(memory, allocator, machine.memory),
      processor,
      this.standIn,
    );
    this.#view = new ProcessorView(processor);
    this.vpids = new VpidMap(processor, FIRST_VPID, vcpu.index + 1);
    this.multiDimensional = new MultiDimensionalPaging({
      ...{ processor, memory, pages: allocator, pageLimit: pages.pageLimit },
      ...{ l1: machine.memory, features: eptFeatures(shown, physicalAddressBits) },
      standIn: this.standIn,
    });
  }

  get host(): NestedHost {
    return this.#host;
  }
  get inL2(): boolean {
    return this.vcpu.state.level === 2;
  }
  /** vmcs12 enables EPT. */
  get ept12(): boolean {
    return this.secondary12(SECONDARY.ENABLE_EPT);
  }
  secondary12(mask: number): boolean {
    const activated = (this.vmcs12.low(OFFSET.CPU_BASED_VM_EXEC_CONTROL) & 0x80000000) !== 0;
    return activated && (this.vmcs12.low(OFFSET.SECONDARY_VM_EXEC_CONTROL) & mask) !== 0;
  }
  /** VPID12, 0 without "enable VPID". */
  get vpid12(): number {
    return this.secondary12(SECONDARY.ENABLE_VPID) ? this.vmcs12.low(OFFSET.VIRTUAL_PROCESSOR_ID) : 0;
  }
  get eptp12(): Halves {
    return { low: this.vmcs12.low(EPT_POINTER), high: this.vmcs12.high(EPT_POINTER) };
  }

  /** While vmcs01 is current: everything that vmcs02 is made of. */
  compose(): void {
    const composition = new Composition(this, this.#view, this.vmcs12);
    this.#mergeBitmaps(composition);
    this.vmcs02.compose(composition, this.vmcs12);
  }

  // --- CompositionPorts

  get msrBitmap(): HostPhysical {
    return this.#msrBitmap.page;
  }
  get ioBitmapA(): HostPhysical {
    return this.#ioBitmaps[0].page;
  }
  get ioBitmapB(): HostPhysical {
    return this.#ioBitmaps[1].page;
  }
  hostPage(address: PhysicalAddress): HostPhysical {
    const host = this.vcpu.machine.memory.translate(address);
    return host < 0 ? this.#pages.hole : host;
  }
  isMemory(address: PhysicalAddress): boolean {
    return this.vcpu.machine.memory.isRam(address);
  }
  apicAccessPage(address: PhysicalAddress): HostPhysical {
    const host = this.vcpu.machine.memory.translate(address);
    return host < 0 ? this.standIn : host;
  }
  eptPointer(eptp12: Halves | undefined, out: Halves): void {
    const { machine } = this.vcpu;
    const access = this.secondary12(SECONDARY.VIRTUALIZE_APIC_ACCESSES)
      ? addressAt(this.vmcs12, OFFSET.APIC_ACCESS_ADDR)
      : -1;
    const isRam = access >= 0 && machine.memory.isRam(access);
    if (eptp12 === undefined && access >= 0) return this.#ept01WithoutApic.enter(access, isRam, out);
    if (eptp12 === undefined) return shadowOnEptPointer(machine.ept01.pointer, out);
    const paging = this.multiDimensional;
    paging.standInAt(access >= 0 && !isRam ? access - (access % PAGE_BYTES) : -1);
    paging.enter(eptp12, out);
  }
  vpid(vpid12: number): number {
    return this.vpids.enter(vpid12);
  }
  tscOffset01(out: Halves): void {
    out.low = this.vcpu.state.tscOffsetLow >>> 0;
    out.high = this.vcpu.state.tscOffsetHigh >>> 0;
  }
  pdpte(cr3Low: number, index: number, out: Halves): void {
    readPdpte(this.vcpu.machine.memory, cr3Low, index, out);
  }

  #mergeBitmaps(c: Composition): void {
    const { pages, machine } = this.vcpu;
    const { memory } = machine;
    if (c.msr === 'merged') this.#msrBitmap.merge(pages.msrBitmap, memory, addressAt(this.vmcs12, MSR_BITMAP), true);
    if (c.io !== 'merged') return;
    const used = (primary: number, page: number): number => (primary & IO_BITMAPS ? page : -1);
    this.#ioBitmaps[0].merge(
      used(c.primary01, pages.ioBitmapA),
      memory,
      used(c.primary12, addressAt(this.vmcs12, IO_BITMAP_A)),
      false,
    );
    this.#ioBitmaps[1].merge(
      used(c.primary01, pages.ioBitmapB),
      memory,
      used(c.primary12, addressAt(this.vmcs12, IO_BITMAP_B)),
      false,
    );
  }

  // --- saved and restored

  save(): {
    nested: NestedVcpuState;
    vmcs12: ReturnType<Vmcs12['save']>;
    vpids: ReturnType<VpidMap['save']>;
    ept02: ReturnType<MultiDimensionalPaging['save']>;
    standsInFor: PhysicalAddress;
  } {
    return {
      nested: copyState(this.state),
      vmcs12: this.vmcs12.save(),
      vpids: this.vpids.save(),
      ept02: this.multiDimensional.save(),
      standsInFor: this.#ept01WithoutApic.standsInFor,
    };
  }
  restore(saved: ReturnType<NestedVcpu['save']>): void {
    restoreState(this.state, saved.nested);
    this.vmcs12.restore(saved.vmcs12);
    this.vpids.restore(saved.vpids);
    this.multiDimensional.restore(saved.ept02);
    this.#ept01WithoutApic.standsInFor = saved.standsInFor;
    this.vmcs12.forgetEntry();
    this.vmcs02.forget();
    for (const bitmap of [this.#msrBitmap, ...this.#ioBitmaps]) bitmap.restored();
  }
}

const IO_BITMAPS = 1 << 25;
