// SPDX-License-Identifier: Apache-2.0

import { assert } from '../base/assert.ts';
import { ACPI_TABLES_BASE, FOUR_GIB, lowMemoryEnd, ONE_MIB } from './e820.ts';
import type { PcLayout } from './layout.ts';

/** A register that firmware has left other than RESET would: applied in order, before the first instruction. */
export interface MsrRow {
  readonly msr: number;
  readonly value: bigint;
  readonly reason: string;
}

export interface LocalApicRow {
  /** Offset in the xAPIC page. */
  readonly offset: number;
  readonly value: number;
  readonly reason: string;
}

export interface PortRow {
  readonly port: number;
  /** One byte. */
  readonly value: number;
  readonly reason: string;
}

export interface CmosRow {
  readonly index: number;
  readonly value: number;
  readonly reason: string;
}

/** What of the processor's identity the rows depend on. */
export interface ProcessorTraits {
  /** CPUID.80000008H:EAX[7:0]. */
  readonly physicalAddressBits: number;
  /** CPUID.01H:ECX.VMX. */
  readonly vmx: boolean;
  /** CPUID.01H:ECX.MONITOR. */
  readonly monitor: boolean;
  /** As CPUs report it: not 0 after an update was loaded. */
  readonly microcodeRevision: number;
  /** IA32_MTRRCAP.VCNT. */
  readonly variableRanges: number;
}

const UNCACHEABLE = 0x00n;
const WRITE_BACK = 0x06n;
const eightOf = (type: bigint): bigint => type * 0x0101010101010101n;

/** Fixed ranges: MSR, first address, bytes that each of the eight fields covers. See: SDM 12.11.2.2 Fixed Range MTRRs. */
// prettier-ignore
const FIXED_RANGES: readonly [msr: number, base: number, step: number][] = [
  [0x250, 0x00000, 0x10000],
  [0x258, 0x80000, 0x04000], [0x259, 0xa0000, 0x04000],
  [0x268, 0xc0000, 0x01000], [0x269, 0xc8000, 0x01000], [0x26a, 0xd0000, 0x01000], [0x26b, 0xd8000, 0x01000],
  [0x26c, 0xe0000, 0x01000], [0x26d, 0xe8000, 0x01000], [0x26e, 0xf0000, 0x01000], [0x26f, 0xf8000, 0x01000],
];
const FIRST_VARIABLE_RANGE = 0x200;
const VARIABLE_VALID = 0x800n;
const IA32_MTRR_DEF_TYPE = 0x2ff;
const MTRR_ENABLE = 0x800n;
const MTRR_FIXED_ENABLE = 0x400n;

/** MSRs of one processor: all of them get the same, as firmware must see to. */
export function firmwareMsrs(layout: PcLayout, traits: ProcessorTraits): MsrRow[] {
  // See: SDM 2.1 Architectural MSRs: fast strings; branch trace store and PEBS unavailable; MONITOR enabled.
  const miscEnable = (1n << 0n) | (1n << 11n) | (1n << 12n) | (traits.monitor ? 1n << 18n : 0n);
  // prettier-ignore
  const rows: MsrRow[] = [
    { msr: 0x08b, value: BigInt(traits.microcodeRevision) << 32n, reason: 'IA32_BIOS_SIGN_ID: the revision of the loaded microcode update' },
    { msr: 0x1a0, value: miscEnable, reason: 'IA32_MISC_ENABLE: fast strings, no BTS, no PEBS' },
    { msr: 0x277, value: 0x0007040600070406n, reason: 'IA32_PAT: its power-on value' },
    ...mtrrRows(layout, traits),
  ];
  if (traits.vmx) rows.unshift({ msr: 0x03a, value: 0x5n, reason: 'IA32_FEATURE_CONTROL: locked, VMX outside SMX' });
  return rows;
}

/** Everything write-back but the video hole and the PCI hole. See: SDM 12.11 Memory Type Range Registers (MTRRs). */
function mtrrRows(layout: PcLayout, traits: ProcessorTraits): MsrRow[] {
  const fixed = FIXED_RANGES.map(([msr, base, step]): MsrRow => {
    const video = base === 0xa0000;
    const end = (base + 8 * step - 1).toString(16);
    const type = video ? UNCACHEABLE : WRITE_BACK;
    const why = video
      ? 'uncacheable: legacy video'
      : base >= ACPI_TABLES_BASE
        ? 'write-back: tables and BIOS in plain RAM'
        : 'write-back';
    return { msr, value: eightOf(type), reason: `fixed MTRR ${base.toString(16)}..${end} ${why}` };
  });
  const enable: MsrRow = {
    msr: IA32_MTRR_DEF_TYPE,
    value: MTRR_ENABLE | MTRR_FIXED_ENABLE | WRITE_BACK,
    reason: 'IA32_MTRR_DEF_TYPE: enabled, fixed ranges enabled, write-back',
  };
  return [...fixed, ...variableRanges(layout.ecam.base, traits), enable];
}

/** The PCI hole, from `holeBase` to 4 GiB, in naturally aligned powers of two; the other ranges are off. */
function variableRanges(holeBase: number, traits: ProcessorTraits): MsrRow[] {
  const rows: MsrRow[] = [];
  const mask = (1n << BigInt(traits.physicalAddressBits)) - 1n;
  for (let base = holeBase; base < FOUR_GIB;) {
    const size = largestBlock(base, FOUR_GIB);
    const msr = FIRST_VARIABLE_RANGE + rows.length;
    const reason = `variable MTRR: ${size / ONE_MIB} MiB uncacheable at ${base.toString(16)}, the PCI hole`;
    rows.push({ msr, value: BigInt(base) | UNCACHEABLE, reason });
    rows.push({ msr: msr + 1, value: (mask & ~BigInt(size - 1)) | VARIABLE_VALID, reason });
    base += size;
  }
  assert(rows.length <= 2 * traits.variableRanges, `the PCI hole takes ${rows.length / 2} MTRRs`);
  for (let msr = FIRST_VARIABLE_RANGE + rows.length; msr < FIRST_VARIABLE_RANGE + 2 * traits.variableRanges; msr++) {
    rows.push({ msr, value: 0n, reason: 'variable MTRR: unused' });
  }
  return rows;
}

/** The largest power of two that divides `base` and does not go past `end`. */
function largestBlock(base: number, end: number): number {
  let size = 0x1000;
  while (base % (size * 2) === 0 && base + size * 2 <= end) size *= 2;
  return size;
}

/** See: SDM 11.5.1 Local Vector Table; 11.9 Spurious Interrupt. LINT0 takes the 8259s' INTR on the boot processor only. */
export function firmwareLocalApic(bootProcessor: boolean): LocalApicRow[] {
  // prettier-ignore
  return [
    { offset: 0x0f0, value: 0x1ff, reason: 'SVR: enabled, spurious vector FFh' },
    { offset: 0x350, value: bootProcessor ? 0x700 : 0x10000, reason: bootProcessor ? 'LVT LINT0: ExtINT' : 'LVT LINT0: masked' },
    { offset: 0x360, value: 0x400, reason: 'LVT LINT1: NMI' },
  ];
}

/** The 8259s at vectors 08h and 70h, all inputs masked but the cascade; the 8254's counter 0 at 18.2 Hz. */
// prettier-ignore
export const firmwarePorts: readonly PortRow[] = [
  { port: 0x20, value: 0x11, reason: '8259 first: ICW1, cascade, ICW4 follows' },
  { port: 0x21, value: 0x08, reason: '8259 first: ICW2, vectors 08h..0Fh' },
  { port: 0x21, value: 0x04, reason: '8259 first: ICW3, the second on input 2' },
  { port: 0x21, value: 0x01, reason: '8259 first: ICW4, 8086 mode' },
  { port: 0xa0, value: 0x11, reason: '8259 second: ICW1, cascade, ICW4 follows' },
  { port: 0xa1, value: 0x70, reason: '8259 second: ICW2, vectors 70h..77h' },
  { port: 0xa1, value: 0x02, reason: '8259 second: ICW3, identity 2' },
  { port: 0xa1, value: 0x01, reason: '8259 second: ICW4, 8086 mode' },
  { port: 0x21, value: 0xfb, reason: '8259 first: all masked but the cascade' },
  { port: 0xa1, value: 0xff, reason: '8259 second: all masked' },
  { port: 0x43, value: 0x34, reason: '8254: counter 0, low then high byte, mode 2' },
  { port: 0x40, value: 0x00, reason: '8254: counter 0 low byte of 65536' },
  { port: 0x40, value: 0x00, reason: '8254: counter 0 high byte of 65536' },
];

/** Memory sizes in CMOS RAM: base, 1..64 MiB, above 16 MiB in 64 KiB blocks, above 4 GiB in 64 KiB blocks. */
export function firmwareCmos(layout: PcLayout): CmosRow[] {
  const low = lowMemoryEnd(layout);
  const extended = Math.min((low - ONE_MIB) / 1024, 0xffff);
  const above16 = Math.min(Math.max(low - 16 * ONE_MIB, 0) / 0x10000, 0xffff);
  const above4G = (layout.memoryBytes - low) / 0x10000;
  // prettier-ignore
  const words: readonly [index: number, width: number, value: number, reason: string][] = [
    [0x15, 2, 640,      'base memory in KiB'],
    [0x17, 2, extended, 'extended memory in KiB, as configured'],
    [0x30, 2, extended, 'extended memory in KiB, as found'],
    [0x34, 2, above16,  'memory above 16 MiB in 64 KiB blocks'],
    [0x5b, 3, above4G,  'memory above 4 GiB in 64 KiB blocks'],
  ];
  return words.flatMap(([index, width, value, reason]) =>
    Array.from({ length: width }, (_, byte) => ({
      index: index + byte,
      value: Math.floor(value / 256 ** byte) % 256,
      reason,
    })),
  );
}
