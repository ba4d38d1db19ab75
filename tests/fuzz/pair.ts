// SPDX-License-Identifier: Apache-2.0
// One program on both machines: how each run ended, and what differs.
import type { EntryCheck } from '../../src/arch/vmx/entry-check-row.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { baseMemory } from './base-memory.ts';
import { Containment } from './containment.ts';
import { LAYOUT, MOST_STEPS, PARAMETER, RAM_BYTES, REGION_COUNT, STEP_BYTES } from './layout.ts';
import { firstDifference, logOf, parameter } from './log.ts';
import type { Difference } from './log.ts';
import {
  MONITOR,
  bareSide,
  forgetEverything,
  forgetTranslations,
  reviveAll,
  l0Side,
  setMemory,
  shownCapabilities,
  toFirstProgram,
} from './machines.ts';
import type { L0Side, Side } from './machines.ts';
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
  /** L2 has overwritten the monitor or the program, on any of the machines. Nothing was compared. */
  readonly lost: boolean;
  /** It differed only behind where the bare machine itself does once it forgets translations: the manual leaves that open. */
  readonly stale: boolean;
  /** The rules that its entries broke on the bare machine. */
  readonly rules: readonly string[];
  /** What L1 wrote down, on the bare machine if the program ran there. */
  readonly log: Uint8Array;
}

/** The pages of VMCS regions: how a processor keeps a VMCS is its own affair. */
const REGION_PAGES = { from: LAYOUT.VMXON_REGION / PAGE, to: LAYOUT.REGIONS / PAGE + REGION_COUNT } as const;

const pagesFrom = (at: number, bytes: number): number[] =>
  Array.from({ length: Math.ceil(bytes / PAGE) }, (_, page) => at / PAGE + page);

/** Of the monitor and of a program's steps and lists, which nobody changes. */
const FIXED_PAGES = [
  ...pagesFrom(LAYOUT.MONITOR, MONITOR.bytes.length),
  ...pagesFrom(LAYOUT.STEPS, MOST_STEPS * STEP_BYTES),
  ...pagesFrom(LAYOUT.FIELD_LISTS, MOST_LISTS * PAGE),
];

/** `keeping` and `forgetful` are two bare machines, of which one forgets all translations at each instruction. */
type Role = 'bare' | 'compared' | 'alone' | 'keeping' | 'forgetful';

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
    const lost = ends.some(({ kind }) => kind === 'lost');
    const compared = program.defined && !gap && !overwrites && !lost && thrown === undefined;
    const seen = compared ? this.compare(program, [bare, l0], ends) : undefined;
    const rules = [...this.rules];
    const stale = seen !== undefined && this.isStale(program, seen);
    const difference = stale ? undefined : (thrown ?? seen?.message);
    const outcome = {
      difference,
      end,
      stepsDone: stepsDone(bare),
      log: logOf(bare),
      rules,
      gap,
      overwrites,
      lost,
      stale,
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

  /**
   * Whether what differs comes of translations that memory or the VMCS no longer has, and that L1 has not had forgotten:
   * then the bare machine that forgets all differs from the one that does not, and no later.
   */
  private isStale(program: Program, seen: Difference): boolean {
    const sides = [this.side('keeping'), this.side('forgetful')];
    const ends = [this.runOn(sides[0]), this.runOn(sides[1], true)];
    const open = this.compare(program, sides, ends);
    if (!all(ends, 'done') || !this.keeps) for (const role of ['keeping', 'forgetful'] as const) this.forget(role);
    return open !== undefined && open.record <= seen.record;
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

  private runOn(side: Side, forgets = false): RunEnd {
    setMemory(side, this.image);
    if (side === this.sides.get('bare')) this.regions?.begin();
    forgetTranslations(side);
    side.pc.end = undefined;
    const { machine } = side.pc;
    const start = machine.ticks;
    let [inits, reached, waits] = [0, -1, 0];
    for (let patience = beginProgram(side, forgets); ; patience = PATIENCE) {
      const outcome = forgets ? runForgetting(side, patience) : side.pc.run(machine.ticks + patience);
      if (outcome === 'ended') break;
      const before = reached;
      reached = parameter(side, PARAMETER.step);
      waits = reached === before ? waits + 1 : 0;
      const inL2 = side.inL2();
      if (outcome === 'limit' && (waits === 0 || (!inL2 && waits < PATIENCE_WITH_L1))) continue;
      if (inits > MOST_INITS || !inL2) return { kind: 'stuck', ticks: machine.ticks - start, inits };
      if (inits === MOST_INITS) skipToLastSteps(side);
      side.init();
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

  private compare(
    program: Program,
    [bare, l0]: readonly Side[],
    [bareEnd, l0End]: readonly RunEnd[],
  ): Difference | undefined {
    const log = firstDifference(program, bare, l0);
    if (log !== undefined) return log;
    // When L1 has killed itself nobody sees the time.
    const parts = bareEnd.kind === 'done' ? (['kind', 'ticks', 'inits'] as const) : (['kind', 'inits'] as const);
    for (const part of parts)
      if (bareEnd[part] !== l0End[part])
        return behindLog(`${part} at the end: ${bareEnd[part]} on the bare machine, ${l0End[part]} under L0`);
    const memory = this.compareMemory(bare, l0);
    return memory === undefined ? undefined : behindLog(memory);
  }

  /** All but the VMCS regions, and the log, which has been compared. */
  private compareMemory(bare: Side, l0: Side): string | undefined {
    for (let page = 0; page < LAYOUT.LOG / PAGE; page++) {
      if (page >= REGION_PAGES.from && page < REGION_PAGES.to) continue;
      if (Buffer.compare(bare.pages[page], l0.pages[page]) === 0) continue;
      const at = bare.pages[page].findIndex(
        (byte, i) => byte !== l0.pages[page][i] && !isResumeFlag(page, byte, l0.pages[page][i]),
      );
      if (at >= 0) return differentMemory(page, at, bare.pages[page], l0.pages[page]);
    }
    return undefined;
  }
}

const pageOf = (image: Buffer, page: number): Buffer => image.subarray(page * PAGE, (page + 1) * PAGE);

const behindLog = (message: string): Difference => ({ record: Infinity, message });

const all = (ends: readonly RunEnd[], kind: RunEnd['kind']): boolean => ends.every((end) => end.kind === kind);

/**
 * Up to where the program's clock runs, which the monitor sets to 0 once it has cleared away what was before; gives the
 * ticks to the first INIT. So INIT does not depend on earlier programs.
 */
function beginProgram(side: Side, forgets: boolean): number {
  if (forgets) runForgetting(side, PROLOGUE);
  else side.pc.run(side.pc.machine.ticks + PROLOGUE);
  return Math.max(1, PATIENCE - side.tsc());
}

/** An instruction at a time, each with no translation known. */
function runForgetting(side: Side, ticks: number): ReturnType<Side['pc']['run']> {
  const { machine } = side.pc;
  for (const end = machine.ticks + ticks; machine.ticks < end;) {
    forgetEverything(side);
    const outcome = side.pc.run(machine.ticks + 1);
    if (outcome !== 'limit') return outcome;
  }
  return 'limit';
}

/** RFLAGS.RF as a double fault pushes it onto a stack of L2: see `onlyResumeFlag` in log.ts. */
function isResumeFlag(page: number, bare: number, l0: number): boolean {
  return (bare ^ l0) === 1 && page * PAGE < LAYOUT.MONITOR;
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

function differentMemory(page: number, at: number, bare: Uint8Array, l0: Uint8Array): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at & ~7, (at & ~7) + 8)).toString('hex');
  return `memory at ${(page * PAGE + at).toString(16)}: ${hex(bare)} on the bare machine, ${hex(l0)} under L0`;
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
