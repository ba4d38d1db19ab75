// SPDX-License-Identifier: Apache-2.0
// One program on both machines: how each run ended, and what differs.
import type { EntryCheck } from '../../src/arch/vmx/entry-check-row.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { baseMemory } from './base-memory.ts';
import { Containment } from './containment.ts';
import { compareRuns, isPartOf } from './compare.ts';
import type { Run } from './compare.ts';
import { LAYOUT, MOST_STEPS, PARAMETER, RAM_BYTES, STEP_BYTES } from './layout.ts';
import { logOf, parameter } from './log.ts';
import type { Difference } from './log.ts';
import {
  MONITOR,
  bareSide,
  forgetTranslations,
  reviveAll,
  l0Side,
  setMemory,
  shownCapabilities,
  toFirstProgram,
} from './machines.ts';
import type { L0Side, Side } from './machines.ts';
import { OtherProcessor } from './other-processor.ts';
import { MOST_LISTS, place } from './program.ts';
import { RegionWatch } from './region-watch.ts';
import type { Configuration, Program } from './program.ts';

const PAGE = 0x1000;
/** Ticks after which L2 is fetched back if L1 has come to no other step meanwhile. */
const PATIENCE = 2000;
/** The monitor takes less to begin a program. */
const PROLOGUE = 400;
/** So many times that long L1 itself may take for a step. */
const PATIENCE_WITH_L1 = 5;
/** So often L2 is fetched back; then L1 goes on with its last steps, and that must do. */
const MOST_INITS = 8;
const LAST_STEPS = 2;

/**
 * How a run of a program ended. `done`: at its end; after `shutdown` machines are revived, all else takes new ones. `lost`: L2
 * has told of the end, or has overwritten the monitor or the program: what was written down need not be theirs.
 */
export interface RunEnd {
  readonly kind: 'done' | 'lost' | 'stuck' | 'shutdown' | 'reset' | 'powerOff';
  readonly ticks: number;
  readonly inits: number;
}

export interface Outcome {
  /** What went wrong, if anything did. */
  readonly difference: string | undefined;
  readonly end: RunEnd;
  readonly stepsDone: number;
  /** L0 came to the known end of its emulator: L2 reached a device of L1, or a string of ports. Nothing was compared. */
  readonly gap: boolean;
  /** It overwrote the region of a VMCS in use, which the manual leaves open. Nothing was compared. */
  readonly overwrites: boolean;
  /** L2 has overwritten the monitor or the program, on both machines. Nothing was compared. */
  readonly lost: boolean;
  /** What differed the manual leaves open: another processor does it otherwise, too (other-processor.ts). */
  readonly open: boolean;
  /** The rules that its entries broke on the bare machine. */
  readonly rules: readonly string[];
  /** What L1 wrote down, on the bare machine if the program ran there. */
  readonly log: Uint8Array;
}

const pagesFrom = (at: number, bytes: number): number[] =>
  Array.from({ length: Math.ceil(bytes / PAGE) }, (_, page) => at / PAGE + page);

/** Of the monitor and of a program's steps and lists, which nobody changes. */
const FIXED_PAGES = [
  ...pagesFrom(LAYOUT.MONITOR, MONITOR.bytes.length),
  ...pagesFrom(LAYOUT.STEPS, MOST_STEPS * STEP_BYTES),
  ...pagesFrom(LAYOUT.FIELD_LISTS, MOST_LISTS * PAGE),
];

/** `again` and `other` are two bare machines, of which the second is another processor. */
type Role = 'bare' | 'compared' | 'alone' | 'again' | 'other';

/** The machines of one configuration. Programs whose outcome the manual leaves open have an L0 of their own. */
export class Pair {
  /** The most accesses that an exit took any of the L0s, and how often one was looked at. */
  readonly totals = { mostAccesses: 0, looks: 0 };
  /** Machines made so far. */
  made = 0;
  readonly configuration: Configuration;
  private readonly keeps: boolean;
  private readonly jit: JitMode;
  private readonly tamper: ((side: L0Side) => void) | undefined;
  private readonly sides = new Map<Role, Side>();
  private readonly rules: string[] = [];
  private readonly contained = new Map<Side, Containment>();
  private regions: RegionWatch | undefined;
  private otherProcessor: OtherProcessor | undefined;
  private readonly base: Buffer;
  private readonly image = Buffer.alloc(RAM_BYTES);

  /**
   * `tamper` makes an L0 wrong, to see whether that is noticed. `keeps`: machines that have shown a difference are used
   * again, for programs that are tried only to make one smaller.
   */
  constructor(configuration: Configuration, jit: JitMode, tamper?: (side: L0Side) => void, keeps = false) {
    this.keeps = keeps;
    this.configuration = configuration;
    this.jit = jit;
    this.tamper = tamper;
    this.base = Buffer.concat(this.side('bare').pages);
  }

  /** Runs it; `thorough`: looks at L0's own memory and tables at every exit. */
  run(program: Program, thorough: boolean): Outcome {
    this.base.copy(this.image);
    place(program, this.image, MONITOR.entries.done);
    const roles: readonly Role[] = program.defined ? ['bare', 'compared'] : ['alone'];
    const sides = roles.map((role) => this.side(role));
    for (const side of sides) this.contained.get(side)?.begin(thorough, program.races);
    this.rules.length = 0;
    const ends: RunEnd[] = [];
    let thrown: string | undefined;
    try {
      for (const side of sides) ends.push(this.runOn(side));
    } catch (error) {
      thrown = describe(error);
    }
    const end: RunEnd = ends[0] ?? { kind: 'stuck', ticks: 0, inits: 0 };
    const [bare, l0] = sides;
    const gap = program.defined && this.emulatorGaveUp(l0);
    const overwrites = program.defined && this.regions?.isOverwritten === true;
    const lost = all(ends, 'lost');
    const compared = program.defined && !gap && !overwrites && !lost && thrown === undefined;
    const seen = compared ? compareRuns(program, { side: bare, end }, { side: l0, end: ends[1] }) : undefined;
    const rules = [...this.rules];
    const open = seen !== undefined && this.isOpen(program, seen);
    const difference = open ? undefined : (thrown ?? seen?.message);
    const outcome = {
      difference,
      end,
      stepsDone: stepsDone(bare),
      log: logOf(bare),
      rules,
      gap,
      overwrites,
      lost,
      open,
    };
    for (const role of roles) this.addUp(role);
    this.makeReady(roles, ends, gap || overwrites || (seen !== undefined && !this.keeps) || thrown !== undefined);
    return outcome;
  }

  /**
   * For the next program: machines in which L1 has shut down are revived, others that are not at its begin made anew. What
   * revives them is INIT, which does not enable a local APIC; then the monitor does not begin.
   */
  private makeReady(roles: readonly Role[], ends: readonly RunEnd[], anew: boolean): void {
    const enabled = roles.every((role) => this.side(role).localApic.globallyEnabled);
    const good = enabled && !anew;
    const revived = good && all(ends, 'shutdown') && this.revive(roles.map((role) => this.side(role)));
    if (!revived && !(good && all(ends, 'done'))) for (const role of roles) this.forget(role);
  }

  /** What is done to a machine from outside is no guest's doing. */
  private revive(sides: readonly Side[]): boolean {
    for (const side of sides) this.contained.get(side)?.begin(false);
    return reviveAll(sides, this.base);
  }

  /** Whether another processor may do otherwise what differs. */
  private isOpen(program: Program, seen: Difference): boolean {
    const runs = (['again', 'other'] as const).map((role): Run => {
      const side = this.side(role);
      return { side, end: this.runOn(side, role === 'other' ? this.otherProcessor : undefined) };
    });
    const open = compareRuns(program, runs[0], runs[1]);
    const done = runs.every(({ end }) => end.kind === 'done');
    if (!done || !this.keeps) for (const role of ['again', 'other'] as const) this.forget(role);
    return isPartOf(seen, open);
  }

  private emulatorGaveUp(side: Side): boolean {
    if (!('l0' in side.pc)) return false;
    const { unemulated } = side.pc.l0.l1;
    const gaveUp = unemulated.size > 0;
    unemulated.clear();
    return gaveUp;
  }

  private addUp(role: Role): void {
    const { totals } = this;
    const contained = this.contained.get(this.side(role));
    if (contained === undefined) return;
    totals.mostAccesses = Math.max(totals.mostAccesses, contained.mostAccesses);
    totals.looks += contained.takeLooks();
  }

  private forget(role: Role): void {
    const side = this.sides.get(role);
    this.sides.delete(role);
    if (side !== undefined) this.contained.delete(side);
  }

  /** The two that are compared have the same past: they are made together. */
  private side(role: Role): Side {
    const there = this.sides.get(role);
    if (there !== undefined) return there;
    const { configuration, jit } = this;
    const base = baseMemory(shownCapabilities(configuration));
    const bare = role !== 'compared' && role !== 'alone';
    const side = bare ? bareSide(configuration, jit) : l0Side(configuration, jit);
    this.made++;
    if (role === 'bare') {
      this.listen(side);
      this.regions = new RegionWatch(side);
    }
    if (role === 'other') this.otherProcessor = new OtherProcessor(side);
    if ('nested' in side) {
      this.contained.set(side, new Containment(side as L0Side));
    }
    toFirstProgram(side, base);
    if ('nested' in side) this.tamper?.(side as L0Side);
    this.sides.set(role, side);
    return side;
  }

  /** Which rules entries on the bare machine break. */
  private listen({ unit }: Side): void {
    const { rules } = this;
    let last: EntryCheck | undefined;
    Object.defineProperty(unit.vmx, 'lastEntryFailure', {
      get: () => last,
      set: (check: EntryCheck | undefined) => {
        last = check;
        if (check !== undefined) rules.push(check.id);
      },
    });
  }

  private runOn(side: Side, other?: OtherProcessor): RunEnd {
    setMemory(side, this.image);
    if (side === this.sides.get('bare')) this.regions?.begin();
    other?.begin();
    forgetTranslations(side);
    side.pc.end = undefined;
    const { machine } = side.pc;
    const start = machine.ticks;
    let [inits, reached, waits] = [0, -1, 0];
    for (let patience = beginProgram(side, other); ; patience = PATIENCE) {
      const outcome = runFor(side, patience, other);
      if (outcome === 'ended') break;
      const before = reached;
      reached = parameter(side, PARAMETER.step);
      waits = reached === before ? waits + 1 : 0;
      const inL2 = side.inL2();
      if (outcome === 'limit' && (waits === 0 || (!inL2 && waits < PATIENCE_WITH_L1))) continue;
      if (inits > MOST_INITS || !inL2) return { kind: 'stuck', ticks: machine.ticks - start, inits };
      if (inits === MOST_INITS) skipToLastSteps(side);
      side.fetchBack();
      inits++;
    }
    return { kind: this.endOf(side), ticks: machine.ticks - start, inits };
  }

  private endOf(side: Side): RunEnd['kind'] {
    const { end } = side.pc;
    if (end === undefined) return 'stuck';
    if (end.kind !== 'debugExit') return end.kind;
    return side.inL2() || FIXED_PAGES.some((page) => pageOf(this.image, page).compare(side.pages[page]) !== 0)
      ? 'lost'
      : 'done';
  }
}

const pageOf = (image: Buffer, page: number): Buffer => image.subarray(page * PAGE, (page + 1) * PAGE);

const all = (ends: readonly RunEnd[], kind: RunEnd['kind']): boolean => ends.every((end) => end.kind === kind);

/**
 * Up to where the program's clock runs, which the monitor sets to 0 once it has cleared away what was before; gives the
 * ticks to the first INIT. So INIT does not depend on earlier programs.
 */
function beginProgram(side: Side, other: OtherProcessor | undefined): number {
  runFor(side, PROLOGUE, other);
  return Math.max(1, PATIENCE - side.tsc());
}

function runFor(side: Side, ticks: number, other: OtherProcessor | undefined): ReturnType<Side['pc']['run']> {
  return other === undefined ? side.pc.run(side.pc.machine.ticks + ticks) : other.run(ticks);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `L0 threw ${String(error)}`;
  const at = (error.stack ?? '')
    .split('\n')
    .filter((line) => line.includes('/src/'))
    .slice(0, 4)
    .map((line) => line.trim().replace(/file:.*\/src\//, 'src/'));
  return `${error.name}: ${error.message} ${at.join(' ')}`;
}

function skipToLastSteps(side: Side): void {
  const last = parameter(side, PARAMETER.end) - LAST_STEPS * STEP_BYTES;
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, Math.max(last, parameter(side, PARAMETER.step)), true);
  side.write(LAYOUT.PARAMETERS + PARAMETER.step, word);
}

function stepsDone(side: Side): number {
  return Math.max(0, Math.floor((parameter(side, PARAMETER.step) - LAYOUT.STEPS) / STEP_BYTES));
}
