// SPDX-License-Identifier: Apache-2.0
// A program from a seed: memory, then VMXON, a state, an entry, and whatever a hostile L1 may think of next.
import { Dice } from '../machine/random-program.ts';
import { eptDefect, eptPatch } from './ept-defects.ts';
import { endOfCode, l2Code } from './l2-code.ts';
import { ALL_FIELDS, LAYOUT, PARAMETER, REGION_COUNT, SOME_FIELDS } from './layout.ts';
import { shownCapabilities } from './machines.ts';
import { MOST_LISTS } from './program.ts';
import type { Configuration, FieldList, Patch, Program, Step } from './program.ts';
import { races } from './races.ts';
import { StateMaker, read } from './vmcs-states.ts';
import type { State } from './vmcs-states.ts';
import * as steps from './vmx-steps.ts';

/** Of an L2 that does not begin with an instruction: mostly HLT, which wakes by itself. */
const ACTIVITIES = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 3, 3];
const PAGE = 0x1000;
/** Of 100 programs, those that do what the manual leaves undefined. */
const UNDEFINED = 15;
const IA32_PAT = 0x277;

// prettier-ignore
const LIST_MSRS: readonly (readonly [index: number, value: bigint])[] = [
  [0xc0000081, 0x23001000000000n], [0xc0000082, 0xffffffff81000000n], [0xc0000084, 0x47700n], [0xc0000102, 0x7fff00000000n], [0xc0000103, 5n],
  [0x174, 8n], [0x175, 0x50000n], [0x176, 0x44000n], [0x277, 0x7040600070406n], [0xc0000080, 0xd01n], [0x10, 0x1234n], [0x1d9, 0n],
];
// prettier-ignore
const BAD_MSRS: readonly (readonly [index: number, value: bigint])[] = [
  [0xc0000100, 0n], [0xc0000101, 0n], [0x79, 0n], [0x9b, 0n], [0x802, 0n], [0x277, 0xffn], [0xc0000082, 1n << 60n], [0xc0000080, 2n], [0x1fff, 0n], [0x480, 0n], [0xffffffff, 0n],
];

const bytesOf = (...values: readonly bigint[]): number[] =>
  values.flatMap((value) => Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n)));

class Generator {
  private readonly seed: number;
  private readonly dice: Dice;
  private readonly configuration: Configuration;
  private readonly maker: StateMaker;
  private readonly defined: boolean;
  private readonly patches: Patch[] = [];
  private readonly lists: FieldList[] = [];
  private readonly steps: Step[] = [];
  private state: State | undefined;

  constructor(configuration: Configuration, seed: number) {
    this.seed = seed;
    this.configuration = configuration;
    this.dice = new Dice(seed);
    for (let i = 0; i < 4; i++) this.dice.below(2);
    this.maker = new StateMaker(shownCapabilities(configuration), this.dice);
    this.defined = this.dice.below(100) >= UNDEFINED;
  }

  program(): Program {
    const { dice } = this;
    this.memory();
    if (dice.below(12) !== 0) this.steps.push(steps.pointerStep('VMXON', 0));
    for (let n = 1 + dice.below(3); n > 0; n--) this.state12();
    this.steps.push(this.logAll(true), steps.nextSlotStep());
    this.steps.push(steps.pointerStep('VMCLEAR', steps.REGION_POINTER(0)), steps.plainStep('VMXOFF'));
    const { configuration, seed, defined, patches, lists } = this;
    const program = { ...configuration, seed, defined, patches, lists, steps: this.steps };
    return defined || dice.below(2) === 0 ? program : { ...program, races: races(dice) };
  }

  private logAll(all: boolean): Step {
    return steps.storeStep(
      all ? 'all fields are logged' : 'some fields are logged',
      LAYOUT.PARAMETERS + PARAMETER.logged,
      BigInt(all ? ALL_FIELDS : SOME_FIELDS),
    );
  }

  private memory(): void {
    const { dice, patches } = this;
    patches.push(...l2Code(dice), endOfCode(dice));
    patches.push({
      what: 'descriptors of INVEPT and INVVPID',
      at: LAYOUT.OPERANDS + 0x800,
      bytes: bytesOf(...steps.INVALIDATE_DESCRIPTORS.flat()),
    });
    for (const [what, at] of [
      ['I/O bitmap A', LAYOUT.IO_BITMAP_A],
      ['I/O bitmap B', LAYOUT.IO_BITMAP_B],
      ['MSR bitmap', LAYOUT.MSR_BITMAP],
      ['VMREAD bitmap', LAYOUT.VMREAD_BITMAP],
      ['VMWRITE bitmap', LAYOUT.VMWRITE_BITMAP],
    ] as const)
      // prettier-ignore
      if (dice.below(3) !== 0) patches.push(this.randomBytes(what, at));
    patches.push({ what: 'VTPR', at: LAYOUT.VIRTUAL_APIC + 0x80, bytes: [dice.below(256)] });
    for (const [what, at] of [
      ['VM-entry MSR-load list', LAYOUT.ENTRY_LIST],
      ['VM-exit MSR-store list', LAYOUT.STORE_LIST],
      ['VM-exit MSR-load list', LAYOUT.EXIT_LIST],
    ] as const)
      // prettier-ignore
      patches.push(this.msrList(what, at));
    if (this.ept)
      for (let n = dice.pick([0, 0, 0, 1, 2, 4]); n > 0; n--) patches.push(eptPatch(eptDefect(dice, this.outside)));
    if (!this.defined && dice.below(2) === 0)
      patches.push({
        what: 'a second VMCS region',
        at: LAYOUT.REGIONS + PAGE + 4,
        bytes: Array.from({ length: 200 }, () => dice.below(256)),
      });
    if (dice.below(6) === 0) patches.push({ what: 'a shadow VMCS', at: LAYOUT.REGIONS + 3 * PAGE + 3, bytes: [0x80] });
    if (dice.below(8) === 0)
      patches.push({
        what: "L2's tables",
        at: LAYOUT.L2_PML4 + 3 * PAGE + 8 * (LAYOUT.L2_DATA / PAGE + 1),
        bytes: [dice.below(256)],
      });
  }

  private get ept(): boolean {
    return this.configuration.paging === 'multi-dimensional';
  }
  /** What leads out of L2 is for programs that are not compared. */
  private get outside(): boolean {
    return !this.defined && this.dice.below(2) === 0;
  }

  private randomBytes(what: string, at: number): Patch {
    const { dice } = this;
    const density = dice.pick([1, 1, 8]);
    return { what, at, bytes: Array.from({ length: PAGE }, () => (dice.below(density) === 0 ? dice.below(256) : 0)) };
  }

  private msrList(what: string, at: number): Patch {
    const { dice } = this;
    const bad = dice.below(8) === 0 && at !== LAYOUT.EXIT_LIST;
    // Without a field for it, L0 does not know IA32_PAT: see docs/status.md, Known gaps.
    const known = (bad ? BAD_MSRS : LIST_MSRS).filter(
      ([index]) => this.configuration.profile !== 'paper-1' || index !== IA32_PAT,
    );
    const rows = Array.from({ length: 4 }, () => dice.pick(known));
    return { what, at, bytes: bytesOf(...rows.flatMap(([index, value]) => [BigInt(index), value])) };
  }

  // --- steps

  /** A state in a cleared VMCS, an entry, and what follows it. */
  private state12(): void {
    const { dice } = this;
    const region = dice.pick([0, 0, 0, 1, 2]) % REGION_COUNT;
    this.steps.push(
      steps.pointerStep('VMCLEAR', steps.REGION_POINTER(region)),
      steps.pointerStep('VMPTRLD', steps.REGION_POINTER(region)),
    );
    const state = this.maker.make((address) =>
      address >= LAYOUT.VMXON_REGION && address < LAYOUT.IO_BITMAP_A ? 0x1 : 0,
    );
    this.state = state;
    this.listsAndEvents(state);
    this.steps.push(this.list(this.maker.listOf(state)));
    if (dice.below(4) === 0) this.steps.push(this.logAll(dice.below(2) === 0));
    if (state.breakage !== undefined && dice.below(3) === 0) this.acrossTheBorder(state);
    this.steps.push(steps.plainStep('VMLAUNCH'));
    for (let n = 3 + dice.below(22); n > 0; n--) this.action(state);
  }

  /** MSR lists and injection are set after the walk, which would hardly find their valid values. */
  private listsAndEvents({ vmcs }: State): void {
    const { dice } = this;
    for (const field of ['VM_ENTRY_MSR_LOAD_COUNT', 'VM_EXIT_MSR_STORE_COUNT', 'VM_EXIT_MSR_LOAD_COUNT'] as const)
      if (dice.below(5) === 0) vmcs.set(field, 1 + dice.below(4));
    if (dice.below(6) === 0) vmcs.set('VM_ENTRY_INTR_INFO_FIELD', this.injection());
    if (dice.below(12) === 0) vmcs.set('GUEST_ACTIVITY_STATE', dice.pick(ACTIVITIES));
  }

  private injection(): number {
    const { dice } = this;
    const [type, vector] = dice.pick([
      [0, 0x31],
      [0, 0xff],
      [2, 2],
      [3, 3],
      [3, 13],
      [3, 14],
      [3, 1],
      [3, 6],
      [4, 0x80],
      [5, 1],
      [6, 3],
      [6, 4],
      [7, 0],
      [3, 8],
      [2, 3],
    ] as const);
    const errorCode = type === 3 && [8, 10, 11, 12, 13, 14, 17].includes(vector) ? 0x800 : 0;
    return (0x80000000 | (type << 8) | vector | errorCode) >>> 0;
  }

  private list(list: FieldList): Step {
    if (this.lists.length === MOST_LISTS) return steps.plainStep('VMCALL');
    this.lists.push(list);
    return steps.listStep(this.lists.length - 1);
  }

  /** One rule is broken, then mended. */
  private acrossTheBorder({ breakage }: State): void {
    if (breakage === undefined) return;
    const { rows } = breakage;
    this.steps.push(...rows.map(({ name, bad }) => steps.vmwriteStep(name, bad)));
    this.steps.push(steps.plainStep('VMLAUNCH'), steps.vmreadStep('VM_INSTRUCTION_ERROR'));
    this.steps.push(...rows.map(({ name, good }) => steps.vmwriteStep(name, good)));
  }

  private action(state: State): void {
    const { dice } = this;
    const number = dice.below(100);
    if (number < 42) this.steps.push(steps.nextSlotStep());
    else if (number < 52) this.change(state);
    else if (number < 56) this.inject();
    else if (number < 61) this.steps.push(steps.strangeFieldStep(dice));
    else if (number < 65) this.steps.push(steps.invalidateStep(dice));
    else if (number < 70) this.steps.push(steps.strangePointerStep(dice), ...this.back());
    else if (number < 75) this.memoryChange();
    else if (number < 79)
      this.steps.push(steps.deadlineStep(dice.pick([1, 30, 60, 100, 200, 1000])), steps.nextSlotStep());
    else if (number < 82) this.steps.push(steps.otherStep(dice));
    else if (number < 84) this.steps.push(steps.forbiddenStep(dice));
    else if (number < 86) this.steps.push(steps.blockedEntryStep(dice.below(2) === 0));
    else if (number < 90) this.steps.push(steps.plainStep(dice.pick(['VMLAUNCH', 'VMRESUME', 'VMCALL', 'VMFUNC'])));
    else if (number < 92) this.otherRegion();
    else if (number < 93) this.steps.push(steps.plainStep('VMXOFF'), steps.pointerStep('VMXON', 0), ...this.back());
    else this.recover();
  }

  /** After something that may have made another VMCS current, or none. */
  private back(): Step[] {
    return this.dice.below(3) === 0 ? [] : [steps.pointerStep('VMPTRLD', steps.REGION_POINTER(0))];
  }

  private otherRegion(): void {
    const pointer = steps.REGION_POINTER(this.dice.below(REGION_COUNT));
    this.steps.push(steps.pointerStep(this.dice.pick(['VMPTRLD', 'VMPTRLD', 'VMCLEAR'] as const), pointer));
  }

  /** A field moves, L2 is entered, and mostly the field moves back. */
  private change({ vmcs }: State): void {
    const { dice, maker } = this;
    const field = maker.someField();
    const before = read(vmcs, field.offset);
    this.steps.push(steps.vmwriteStep(field.name, maker.valueNear(field, before)), steps.nextSlotStep());
    if (dice.below(3) === 0) this.steps.push(steps.vmreadStep('VM_INSTRUCTION_ERROR'));
    if (dice.below(4) !== 0) this.steps.push(steps.vmwriteStep(field.name, before));
  }

  private inject(): void {
    this.steps.push(steps.vmwriteStep('VM_ENTRY_INTR_INFO_FIELD', BigInt(this.injection())));
    if (this.dice.below(2) === 0) this.steps.push(steps.vmwriteStep('GUEST_RFLAGS', 0x202n));
    this.steps.push(steps.nextSlotStep());
  }

  /** Bitmaps and lists are read at each use; a change of EPT12 is made known. */
  private memoryChange(): void {
    const { dice } = this;
    if (this.ept && dice.below(2) === 0) {
      const { what, at, value } = eptDefect(dice, this.outside);
      this.steps.push(
        this.defined || dice.below(2) === 0 ? steps.eptStep(what, at, value) : steps.storeStep(what, at, value),
      );
    } else if (!this.defined && dice.below(2) === 0)
      this.steps.push(
        steps.storeStep(
          'the region of a VMCS',
          LAYOUT.REGIONS + PAGE * dice.below(2) + 8 * dice.below(400),
          BigInt(dice.below(2 ** 31)),
        ),
      );
    else {
      const page = dice.pick([LAYOUT.IO_BITMAP_A, LAYOUT.MSR_BITMAP, LAYOUT.IO_BITMAP_B, LAYOUT.VIRTUAL_APIC]);
      this.steps.push(
        steps.storeStep(
          'a bitmap or the virtual-APIC page',
          page + 8 * dice.pick([dice.below(512), 0, 0x10, 0x20]),
          BigInt(dice.below(2 ** 31)),
        ),
      );
    }
    this.steps.push(steps.nextSlotStep());
  }

  /** The state as it was in the beginning: what has gone wrong meanwhile is over. */
  private recover(): void {
    const { state, lists } = this;
    if (state === undefined || lists.length === 0) return;
    this.steps.push(steps.listStep(lists.length - 1), steps.plainStep('VMRESUME'));
  }
}

export function generate(configuration: Configuration, seed: number): Program {
  return new Generator(configuration, seed).program();
}
