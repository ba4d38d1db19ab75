// SPDX-License-Identifier: Apache-2.0
// Random vmcs12s at the border between valid and invalid: a state that passes every check, walked about in as long as it
// passes them all, and then, perhaps, moved to where exactly one chosen rule is broken. See: paper.md 7.3
import { fieldExists, mayBeOne, supports } from '../../src/arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../src/arch/vmx/capabilities.ts';
import { CONTROLS, CONTROL_GROUPS } from '../../src/arch/vmx/controls.ts';
import { ENTRY_CHECKS, allFailures } from '../../src/arch/vmx/entry-checks.ts';
import { exampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import type { ExampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import { FIELDS, OFFSET } from '../../src/arch/vmx/fields.ts';
import type { FieldName, VmcsField } from '../../src/arch/vmx/fields.ts';
import type { Dice } from '../machine/random-program.ts';
import { LAYOUT, SELECTOR } from './layout.ts';
import { MONITOR } from './machines.ts';
import { GUEST_MODES } from './guest-modes.ts';
import type { FieldList } from './program.ts';

/** Fields without which L1 or L2 would only get lost: they change rarely. */
const VITAL = new Set<FieldName>([
  ...([
    'HOST_CR3',
    'HOST_RIP',
    'HOST_RSP',
    'HOST_CR0',
    'HOST_CR4',
    'HOST_GDTR_BASE',
    'HOST_IDTR_BASE',
    'HOST_TR_BASE',
  ] as const),
  ...([
    'HOST_CS_SELECTOR',
    'HOST_SS_SELECTOR',
    'HOST_TR_SELECTOR',
    'HOST_IA32_EFER',
    'VM_EXIT_CONTROLS',
    'GUEST_RIP',
  ] as const),
  ...([
    'GUEST_CR3',
    'GUEST_CS_BASE',
    'EPT_POINTER',
    'GUEST_RSP',
    'GUEST_ACTIVITY_STATE',
    'VM_ENTRY_INTR_INFO_FIELD',
  ] as const),
  ...([
    'VM_EXIT_MSR_LOAD_COUNT',
    'VM_EXIT_MSR_STORE_COUNT',
    'VM_ENTRY_MSR_LOAD_COUNT',
    'GUEST_PENDING_DBG_EXCEPTIONS',
  ] as const),
  ...([
    'VM_EXIT_MSR_LOAD_ADDR',
    'CR3_TARGET_COUNT',
    'GUEST_INTERRUPTIBILITY_INFO',
    'PIN_BASED_VM_EXEC_CONTROL',
  ] as const),
]);

// prettier-ignore
const HOST: { readonly [Name in FieldName]?: number } = {
  HOST_CR0: 0x80010031, HOST_CR3: LAYOUT.PML4, HOST_CR4: 0x26a0, HOST_RSP: LAYOUT.STACK, HOST_RIP: MONITOR.entries.on_exit,
  HOST_CS_SELECTOR: SELECTOR.code, HOST_SS_SELECTOR: SELECTOR.data, HOST_DS_SELECTOR: SELECTOR.data, HOST_ES_SELECTOR: SELECTOR.data,
  HOST_TR_SELECTOR: SELECTOR.tss, HOST_TR_BASE: LAYOUT.TSS, HOST_GDTR_BASE: MONITOR.entries.gdt, HOST_IDTR_BASE: MONITOR.entries.idt,
  HOST_FS_BASE: 0, HOST_GS_BASE: 0,
};

// prettier-ignore
const ADDRESSES: { readonly [Name in FieldName]?: number } = {
  IO_BITMAP_A: LAYOUT.IO_BITMAP_A, IO_BITMAP_B: LAYOUT.IO_BITMAP_B, MSR_BITMAP: LAYOUT.MSR_BITMAP,
  VMREAD_BITMAP: LAYOUT.VMREAD_BITMAP, VMWRITE_BITMAP: LAYOUT.VMWRITE_BITMAP, VIRTUAL_APIC_PAGE_ADDR: LAYOUT.VIRTUAL_APIC,
  APIC_ACCESS_ADDR: LAYOUT.APIC_ACCESS, EPT_POINTER: LAYOUT.EPT | 0x1e, VM_ENTRY_MSR_LOAD_ADDR: LAYOUT.ENTRY_LIST,
  VM_EXIT_MSR_STORE_ADDR: LAYOUT.STORE_LIST, VM_EXIT_MSR_LOAD_ADDR: LAYOUT.EXIT_LIST,
  GUEST_IDTR_BASE: LAYOUT.L2_IDT, GUEST_IDTR_LIMIT: 0xfff, GUEST_GDTR_BASE: LAYOUT.L2_GDT, GUEST_GDTR_LIMIT: 0x7f,
};

/** Controls that a state has with this chance in 100; the others with `OTHER_CHANCE`. */
// prettier-ignore
const CHANCE: Readonly<Record<string, number>> = {
  ENABLE_EPT: 85, ACTIVATE_SECONDARY_CONTROLS: 95, HOST_ADDRESS_SPACE_SIZE: 100, IA32E_MODE_GUEST: 0, EXTERNAL_INTERRUPT_EXITING: 60,
  NMI_EXITING: 50, USE_MSR_BITMAPS: 60, USE_IO_BITMAPS: 50, ACTIVATE_VMX_PREEMPTION_TIMER: 25, UNRESTRICTED_GUEST: 50, HLT_EXITING: 70,
  MONITOR_TRAP_FLAG: 8, NMI_WINDOW_EXITING: 10, INTERRUPT_WINDOW_EXITING: 10, VMCS_SHADOWING: 10, RDTSC_EXITING: 20,
  LOAD_IA32_EFER: 40, SAVE_DEBUG_CONTROLS: 60, LOAD_DEBUG_CONTROLS: 60,
};
const OTHER_CHANCE = 33;

/** Values that are at the edge of something. */
// prettier-ignore
const EDGES: readonly bigint[] = [
  0n, 1n, 2n, 3n, 0x7fn, 0x80n, 0xffn, 0xfffn, 0x1000n, 0xffffn, 0x10000n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x100000000n,
  0x7ffff_ffffffffn, 0x7fff_ffffffffn, 0x8000_00000000n, 0xffff8000_00000000n, 0xffffffff_ffffffffn, 1n << 39n, (1n << 39n) - 0x1000n,
  0x40000000n, 0xfee00000n, BigInt(LAYOUT.L2_DATA), BigInt(LAYOUT.IO_BITMAP_A), BigInt(LAYOUT.VIRTUAL_APIC), BigInt(LAYOUT.MSR_BITMAP) + 1n,
];

/** What breaks one rule of a valid state. */
export interface Breakage {
  readonly rule: string;
  readonly rows: readonly { readonly name: FieldName; readonly good: bigint; readonly bad: bigint }[];
}

export interface State {
  /** Valid. */
  readonly vmcs: ExampleVmcs;
  readonly mode: string;
  readonly breakage: Breakage | undefined;
}

/** Double faults exit always: their delivery would push RFLAGS.RF, see `onlyResumeFlag` in log.ts, for L2 to use. */
const DOUBLE_FAULT = 1n << 8n;
/** CR0.CD and NW that L2 sets stay with the hardware: see docs/status.md, Known gaps. */
const CACHE_BITS = 0x60000000n;
const ALWAYS: ReadonlyMap<FieldName, bigint> = new Map<FieldName, bigint>([
  ['EXCEPTION_BITMAP', DOUBLE_FAULT],
  ['CR0_GUEST_HOST_MASK', CACHE_BITS],
]);
/** L1 has its operands behind these, too: they must not come to lie in the regions of VMCSs, whose contents are a processor's own. */
const OPERAND_BASES: ReadonlySet<FieldName> = new Set(['HOST_FS_BASE', 'HOST_GS_BASE']);
const leadsToRegions = (base: bigint): boolean =>
  base > BigInt(LAYOUT.VMXON_REGION - LAYOUT.OPERANDS) / 2n && base < BigInt(LAYOUT.IO_BITMAP_A - LAYOUT.OPERANDS);
const WIDTH_BITS = { u16: 16, u32: 32, u64: 64, natural: 64 } as const;

export class StateMaker {
  readonly capabilities: VmxCapabilities;
  private readonly dice: Dice;
  private readonly fields: readonly VmcsField[];

  constructor(capabilities: VmxCapabilities, dice: Dice) {
    this.capabilities = capabilities;
    this.dice = dice;
    this.fields = FIELDS.filter((field) => field.area !== 'exitInformation' && fieldExists(capabilities, field));
  }

  /** `memory`: L1's, 4 bytes at an address, as the checks find it. */
  make(memory: (address: number) => number): State {
    const { dice } = this;
    const vmcs = exampleVmcs(this.capabilities);
    vmcs.context.readPhysical32 = memory;
    vmcs.context.currentVmcs = LAYOUT.REGIONS;
    for (const [name, value] of Object.entries({ ...HOST, ...ADDRESSES }) as [FieldName, number][])
      vmcs.set(name, value);
    vmcs.set('VIRTUAL_PROCESSOR_ID', 1 + dice.below(3));
    vmcs.set('VMX_PREEMPTION_TIMER_VALUE', dice.below(40));
    const exceptions = dice.pick([0, 0, 0xffffffff, 1 << dice.below(32), dice.below(0x40000)]);
    vmcs.set('CR0_GUEST_HOST_MASK', Number(CACHE_BITS));
    vmcs.set('EXCEPTION_BITMAP', (exceptions | Number(DOUBLE_FAULT)) >>> 0);
    const mode = dice.pick(
      GUEST_MODES.filter(({ needs }) => needs === undefined || supports(this.capabilities, needs)),
    );
    mode.set(vmcs, dice);
    this.chooseControls(vmcs, new Set(mode.controls));
    for (let n = dice.pick([0, 2, 5, 10, 30]); n > 0; n--) this.wander(vmcs);
    return { vmcs, mode: mode.name, breakage: this.breakOne(vmcs) };
  }

  /** A value for a field of a VMCS that exists already: mostly a step away from one that is right. */
  valueNear(field: VmcsField, before: bigint): bigint {
    const value = this.near(field, before) | (ALWAYS.get(field.name) ?? 0n);
    return OPERAND_BASES.has(field.name) && leadsToRegions(value) ? this.valueNear(field, before) : value;
  }

  private near(field: VmcsField, before: bigint): bigint {
    const { dice } = this;
    const bits = WIDTH_BITS[field.width];
    switch (dice.below(5)) {
      case 0:
        return BigInt.asUintN(bits, dice.pick(EDGES));
      case 1:
        return BigInt.asUintN(bits, before + BigInt(dice.pick([-1, 1, 0x10, -0x10, 0x1000])));
      default:
        return before ^ (1n << BigInt(dice.below(dice.below(3) === 0 ? bits : Math.min(bits, 32))));
    }
  }

  someField(): VmcsField {
    const { dice } = this;
    for (;;) {
      const field = dice.pick(this.fields);
      // Other tables behind the same translations: which of them an exit finds, the manual leaves open.
      if (field.name === 'HOST_CR3') continue;
      if (!VITAL.has(field.name) || dice.below(25) === 0) return field;
    }
  }

  private chooseControls(vmcs: ExampleVmcs, wanted: ReadonlySet<string>): void {
    const { dice, capabilities } = this;
    for (const { group, name, bit } of CONTROLS) {
      const { field } = CONTROL_GROUPS.find((row) => row.group === group) ?? {};
      if (field === undefined || group === 'tertiary') continue;
      if (((mayBeOne(capabilities, group) >>> bit) & 1) === 0) continue;
      if (wanted.has(name) || dice.below(100) >= (CHANCE[name] ?? OTHER_CHANCE)) continue;
      const before = vmcs.view.low(OFFSET[field]);
      vmcs.or(field, 1 << bit);
      if (!valid(vmcs)) vmcs.set(field, before);
    }
  }

  /** One change that breaks nothing, or none. */
  private wander(vmcs: ExampleVmcs): void {
    const field = this.someField();
    const before = read(vmcs, field.offset);
    write(vmcs, field.offset, this.valueNear(field, before));
    if (!valid(vmcs)) write(vmcs, field.offset, before);
  }

  /** Changes fields that a rule reads until it, or one that stands beside it, does not hold; then takes that back. */
  private breakOne(vmcs: ExampleVmcs): Breakage | undefined {
    const { dice } = this;
    for (let attempt = 0; attempt < 40; attempt++) {
      const check = dice.pick(ENTRY_CHECKS);
      const fields = this.fields.filter(({ name }) => check.reads.includes(name));
      if (fields.length === 0) continue;
      const good = fields.map(({ offset }) => read(vmcs, offset));
      const rule = this.breakBy(vmcs, fields);
      const bad = fields.map(({ offset }) => read(vmcs, offset));
      fields.forEach(({ offset }, i) => write(vmcs, offset, good[i]));
      const rows = fields.map(({ name }, i) => ({ name, good: good[i], bad: bad[i] }));
      if (rule !== undefined) return { rule, rows: rows.filter((row) => row.good !== row.bad) };
    }
    return undefined;
  }

  private breakBy(vmcs: ExampleVmcs, fields: readonly VmcsField[]): string | undefined {
    for (let n = 0; n < 12; n++) {
      const field = this.dice.pick(fields);
      write(vmcs, field.offset, this.valueNear(field, read(vmcs, field.offset)));
      const [first] = allFailures(vmcs.view, vmcs.context);
      if (first !== undefined) return first.id;
    }
    return undefined;
  }

  /** What L1 has to write so that a cleared VMCS becomes this. */
  listOf({ vmcs }: State): FieldList {
    const rows = this.fields.map((field) => [field.name, read(vmcs, field.offset)] as const);
    return { rows: rows.filter(([, value]) => value !== 0n) };
  }
}

export function read({ view }: ExampleVmcs, offset: number): bigint {
  return (BigInt(view.high(offset)) << 32n) | BigInt(view.low(offset));
}

function write({ view }: ExampleVmcs, offset: number, value: bigint): void {
  view.write(offset, Number(value & 0xffffffffn), Number(value >> 32n));
}

function valid({ view, context }: ExampleVmcs): boolean {
  return allFailures(view, context).length === 0;
}
