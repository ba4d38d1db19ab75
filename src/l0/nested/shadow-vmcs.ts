// SPDX-License-Identifier: Apache-2.0
// VMCS shadowing for L1: the fields that a hypervisor touches at every exit are read and written without one, in a
// shadow VMCS of L0's. The rest, and what L0 must notice, exits. At world switches the two copies are made equal.
// See: SDM 25.10 VMCS Types: Ordinary and Shadow, and the paper's section 3.5.2

import { REVISION_ID_OFFSET } from '../../arch/vmx/encoding.ts';
import { fieldExists, supports } from '../../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { SECONDARY } from '../../arch/vmx/controls.ts';
import { OFFSET, fieldNamed } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import type { HostMemory, HostPhysical, RootProcessor } from '../../hardware/vmx.ts';
import { setBits } from '../vmcs-access.ts';
import type { Vmcs12 } from './vmcs12.ts';

type Shadowed = 'read' | 'read and write';

// prettier-ignore
export const SHADOWED_FIELDS: readonly (readonly [FieldName, Shadowed])[] = [
  ['VM_EXIT_REASON',                'read'],
  ['VM_EXIT_INTR_INFO',             'read'],
  ['VM_EXIT_INTR_ERROR_CODE',       'read'],
  ['IDT_VECTORING_INFO_FIELD',      'read'],
  ['IDT_VECTORING_ERROR_CODE',      'read'],
  ['VM_EXIT_INSTRUCTION_LEN',       'read'],
  ['VMX_INSTRUCTION_INFO',          'read'],
  ['EXIT_QUALIFICATION',            'read'],
  ['GUEST_LINEAR_ADDRESS',          'read'],
  ['GUEST_PHYSICAL_ADDRESS',        'read'],
  ['GUEST_CS_AR_BYTES',             'read'],
  ['GUEST_SS_AR_BYTES',             'read'],
  ['HOST_FS_SELECTOR',              'read and write'],
  ['HOST_GS_SELECTOR',              'read and write'],
  ['HOST_FS_BASE',                  'read and write'],
  ['HOST_GS_BASE',                  'read and write'],
  ['HOST_RSP',                      'read and write'],
  ['PIN_BASED_VM_EXEC_CONTROL',     'read and write'],
  ['CPU_BASED_VM_EXEC_CONTROL',     'read and write'],
  ['EXCEPTION_BITMAP',              'read and write'],
  ['VM_ENTRY_INTR_INFO_FIELD',      'read and write'],
  ['VM_ENTRY_EXCEPTION_ERROR_CODE', 'read and write'],
  ['VM_ENTRY_INSTRUCTION_LEN',      'read and write'],
  ['TPR_THRESHOLD',                 'read and write'],
  ['VMX_PREEMPTION_TIMER_VALUE',    'read and write'],
  ['GUEST_INTERRUPTIBILITY_INFO',   'read and write'],
  ['GUEST_RIP',                     'read and write'],
  ['GUEST_RSP',                     'read and write'],
  ['GUEST_RFLAGS',                  'read and write'],
  ['GUEST_CR0',                     'read and write'],
  ['GUEST_CR3',                     'read and write'],
  ['GUEST_CR4',                     'read and write'],
  ['CR0_READ_SHADOW',               'read and write'],
  ['CR4_READ_SHADOW',               'read and write'],
  ['CR0_GUEST_HOST_MASK',           'read and write'],
];

const { VMCS_LINK_POINTER, VMREAD_BITMAP, VMWRITE_BITMAP, SECONDARY_VM_EXEC_CONTROL } = OFFSET;
const SHADOW_INDICATOR = 0x80000000;
const BITMAP_BYTES = 4096;
const TWO_32 = 0x1_0000_0000;

export interface ShadowPages {
  /** Of zeroes, L0's own. */
  readonly region: HostPhysical;
  readonly readBitmap: HostPhysical;
  readonly writeBitmap: HostPhysical;
}

/** One virtual CPU's shadow VMCS. While it is on, the secondary control and the link pointer of vmcs01 say so. */
export class ShadowVmcs {
  readonly #processor: RootProcessor;
  readonly #vmcs01: HostPhysical;
  readonly #pages: ShadowPages;
  readonly #read: readonly number[];
  readonly #written: readonly number[];
  readonly #shadowed: ReadonlySet<number>;

  /** Whether the hardware can shadow at all. */
  static supported(processor: RootProcessor): boolean {
    return supports(processor.capabilities, 'secondary.VMCS_SHADOWING');
  }

  /** `shown`: what L1 sees of VMX; a field that is not there for L1 must exit. */
  constructor(
    processor: RootProcessor,
    memory: HostMemory,
    vmcs01: HostPhysical,
    shown: VmxCapabilities,
    pages: ShadowPages,
  ) {
    this.#processor = processor;
    this.#vmcs01 = vmcs01;
    this.#pages = pages;
    const there = SHADOWED_FIELDS.filter(([field]) => fieldExists(shown, fieldNamed(field)));
    const writable = there.filter(([, access]) => access === 'read and write');
    this.#read = there.map(([field]) => OFFSET[field]);
    this.#written = writable.map(([field]) => OFFSET[field]);
    this.#shadowed = new Set(this.#read);
    memory.write(pages.readBitmap, bitmapOf(there.map(([field]) => field)));
    memory.write(pages.writeBitmap, bitmapOf(writable.map(([field]) => field)));
    memory.write32(
      pages.region + REVISION_ID_OFFSET,
      ((processor.capabilities.IA32_VMX_BASIC?.low ?? 0) | SHADOW_INDICATOR) >>> 0,
    );
    processor.vmclear(pages.region);
  }

  /** Where L1's VMREAD and VMWRITE find the shadowed fields. */
  get region(): HostPhysical {
    return this.#pages.region;
  }

  /** vmcs01 is current, and a VMCS of L1 too: L1's VMREAD and VMWRITE find it in the shadow VMCS from now on. */
  turnOn(vmcs12: Vmcs12): void {
    const { region, readBitmap, writeBitmap } = this.#pages;
    this.push(vmcs12);
    this.#writeAddress(VMCS_LINK_POINTER, region);
    this.#writeAddress(VMREAD_BITMAP, readBitmap);
    this.#writeAddress(VMWRITE_BITMAP, writeBitmap);
    setBits(this.#processor, SECONDARY_VM_EXEC_CONTROL, SECONDARY.VMCS_SHADOWING, true);
  }

  /** vmcs01 is current: every VMREAD and VMWRITE exits again. */
  turnOff(): void {
    this.#processor.write(VMCS_LINK_POINTER, 0xffffffff, 0xffffffff);
    setBits(this.#processor, SECONDARY_VM_EXEC_CONTROL, SECONDARY.VMCS_SHADOWING, false);
  }

  /** vmcs12 to the shadow VMCS, before L1 runs. vmcs01 is current before and after. */
  push(vmcs12: Vmcs12): void {
    const processor = this.#processor;
    processor.vmptrld(this.#pages.region);
    for (const offset of this.#read) processor.write(offset, vmcs12.low(offset), vmcs12.high(offset));
    this.#done();
  }

  /** What L1 wrote comes into vmcs12. vmcs01 is current before and after. */
  pull(vmcs12: Vmcs12): void {
    const processor = this.#processor;
    processor.vmptrld(this.#pages.region);
    for (const offset of this.#written) {
      const low = processor.readLow(offset);
      const high = processor.readHigh(offset);
      if (low !== vmcs12.low(offset) || high !== vmcs12.high(offset)) vmcs12.change(offset, low, high);
    }
    this.#done();
  }

  /** L1's VMWRITE of this field exited, although it is read without an exit. */
  written(vmcs12: Vmcs12, offset: number): void {
    if (!this.#shadowed.has(offset)) return;
    const processor = this.#processor;
    processor.vmptrld(this.#pages.region);
    processor.write(offset, vmcs12.low(offset), vmcs12.high(offset));
    this.#done();
  }

  /** VMCLEAR puts the data where the processor will look for them. */
  #done(): void {
    this.#processor.vmclear(this.#pages.region);
    this.#processor.vmptrld(this.#vmcs01);
  }

  #writeAddress(offset: number, address: HostPhysical): void {
    this.#processor.write(offset, address >>> 0, Math.floor(address / TWO_32));
  }
}

/** All ones (exit) but for these fields, both halves of those that have two. */
function bitmapOf(fields: readonly FieldName[]): Uint8Array {
  const bytes = new Uint8Array(BITMAP_BYTES).fill(0xff);
  const pass = (encoding: number): void => void (bytes[encoding >> 3] &= ~(1 << (encoding & 7)));
  for (const { encoding, width } of fields.map(fieldNamed)) {
    pass(encoding);
    if (width === 'u64') pass(encoding + 1);
  }
  return bytes;
}
