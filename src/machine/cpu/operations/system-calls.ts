// SPDX-License-Identifier: Apache-2.0
import {
  CONTEXT_CLASS_MASK,
  CONTEXT_SPREAD,
  DATA_TLB_ENTRIES,
  INSTRUCTION_TLB_ENTRIES,
  NO_CONTEXT,
} from '../../memory/layout.ts';
import { CR4, EFER, RFLAGS } from '../register-bits.ts';
import { CS, GS, RCX, SEGMENT, SS, STATE, segmentOffset } from '../state.ts';
import { FLAT, SYSRET_FLAGS } from '../flat-segments.ts';
import { push } from './move.ts';
import type { Description, Operation, Value } from './operation.ts';

/**
 * What a kernel does at every system call, in the common case; whatever else can happen (a mode without it, a flag that
 * asks for attention, a fault) is left to the microcode of the same name.
 */
const R11 = 11;
const ARITHMETIC = 0x8d5;
/** Their change would have to be noticed: single steps, alignment checks, virtual-8086 mode. */
const WATCHED = RFLAGS.TF | RFLAGS.RF | RFLAGS.AC | RFLAGS.VM;
/** As CLASS in mmu/walk.ts, which knows this file's users: a test compares them. */
export const SUPERVISOR_CLASS = 0;
export const SUPERVISOR_SMAP_CLASS = 1;
export const USER_CLASS = 2;
const SMAP_SHIFT = Math.log2(CR4.SMAP);

function ending(mnemonic: string, describe: (o: Operation) => void): Description {
  return { mnemonic, signatures: [''], hot: true, endsBlock: true, escapes: true, describe };
}
function within(mnemonic: string, describe: (o: Operation) => void): Description {
  return { mnemonic, signatures: [''], hot: true, endsBlock: false, escapes: true, describe };
}

const word = (o: Operation, offset: number): Value => o.readState(offset, 'i32');
const isSet = (value: Value): Value => value.isZero().not();
const notAtLevel0 = (o: Operation): Value => isSet(word(o, STATE.cpl));
const withoutSystemCalls = (o: Operation): Value => word(o, STATE.efer).and(EFER.SCE).isZero();

/** Only the access class of the contexts changes with the privilege level. */
function setClasses(o: Operation, context: Value, dataClass: Value, fetchClass: number): void {
  setDataClass(o, context, dataClass);
  const fetch = word(o, STATE.fetchContext).and(~CONTEXT_CLASS_MASK).or(fetchClass);
  o.writeState(STATE.fetchContext, fetch);
  o.writeState(STATE.fetchHash, fetch.mul(CONTEXT_SPREAD).and(INSTRUCTION_TLB_ENTRIES - 1));
}

function setDataClass(o: Operation, context: Value, dataClass: Value): void {
  const data = context.and(~CONTEXT_CLASS_MASK).or(dataClass);
  o.writeState(STATE.dataContext, data);
  o.writeState(
    STATE.dataHash,
    data
      .mul(CONTEXT_SPREAD)
      .and(DATA_TLB_ENTRIES - 1)
      .shl(5),
  );
}

function setFlat(o: Operation, segment: number, selector: Value, accessRights: number): void {
  const at = segmentOffset(segment);
  o.writeState(at + SEGMENT.base, o.constant('i64', 0));
  o.writeState(at + SEGMENT.limit, o.constant('i32', 0xffffffff));
  o.writeState(at + SEGMENT.accessRights, o.constant('i32', accessRights));
  o.writeState(at + SEGMENT.selector, selector);
}

/** See: SDM 5.8.8 Fast System Calls in 64-Bit Mode. */
function syscall(o: Operation): void {
  const other = word(o, STATE.flagsOther);
  const context = word(o, STATE.dataContext);
  o.escape(
    withoutSystemCalls(o)
      .or(isSet(other.and(WATCHED)))
      .or(context.eq(NO_CONTEXT)),
  );
  const arithmetic = o.eflags();
  const kept = word(o, STATE.fmask).not();
  const selector = word(o, STATE.star + 4).and(0xfffc);
  const target = o.readState(STATE.lstar, 'i64');
  o.writeRegister(RCX, o.nextRip());
  o.writeRegister(R11, arithmetic.or(other).or(2).as('i64'));
  o.setEflags(arithmetic.and(kept));
  o.writeState(STATE.flagsOther, other.and(kept));
  o.writeState(STATE.cpl, o.constant('i32', 0));
  setFlat(o, CS, selector, FLAT.code64);
  setFlat(o, SS, selector.add(8), FLAT.data);
  setClasses(o, context, word(o, STATE.cr4).shr(SMAP_SHIFT).and(1), 0);
  o.jump(target);
}

/** To 64-bit code. */
function sysret(o: Operation): void {
  const target = o.register(RCX, 'i64');
  const flags = o.register(R11, 'i32').and(SYSRET_FLAGS);
  const context = word(o, STATE.dataContext);
  const opened = isSet(flags.and(RFLAGS.IF)).and(word(o, STATE.noEventWaits).isZero());
  o.escape(
    withoutSystemCalls(o)
      .or(notAtLevel0(o))
      .or(target.shl(16).sar(16).ne(target))
      .or(isSet(flags.and(WATCHED)))
      .or(opened)
      .or(context.eq(NO_CONTEXT)),
  );
  const selector = word(o, STATE.star + 4).shr(16);
  o.setEflags(flags.and(ARITHMETIC));
  o.writeState(STATE.flagsOther, flags.and(~(ARITHMETIC | 0x2a)));
  o.writeState(STATE.cpl, o.constant('i32', 3));
  setFlat(o, CS, selector.add(16).or(3), FLAT.userCode64);
  setFlat(o, SS, selector.add(8).or(3), FLAT.userData);
  setClasses(o, context, o.constant('i32', USER_CLASS), USER_CLASS);
  o.jump(target);
}

function swapgs(o: Operation): void {
  o.escape(notAtLevel0(o));
  const at = segmentOffset(GS) + SEGMENT.base;
  const base = o.readState(at, 'i64');
  o.writeState(at, o.readState(STATE.kernelGsBase, 'i64'));
  o.writeState(STATE.kernelGsBase, base);
}

function clearInterruptFlag(o: Operation): void {
  o.escape(notAtLevel0(o));
  o.writeState(STATE.flagsOther, word(o, STATE.flagsOther).and(~RFLAGS.IF));
}

/**
 * Interrupts stay blocked for one more instruction when IF was clear. While no event waits, and none can come before that
 * instruction is done (the budget lasts), this shows only if it makes a VM exit, which asks `STATE.stiTick`.
 */
function setInterruptFlag(o: Operation): void {
  const flags = word(o, STATE.flagsOther);
  const opens = flags.and(RFLAGS.IF).isZero();
  const now = o.ticks();
  const left = o.readState(STATE.ticksAtEnd, 'i64').sub(now);
  const shadowShows = word(o, STATE.noEventWaits).isZero().or(left.lts(1));
  o.escape(notAtLevel0(o).or(opens.and(shadowShows)));
  o.writeState(STATE.flagsOther, flags.or(RFLAGS.IF));
  o.when(opens, () => o.writeState(STATE.stiTick, now));
  o.branch();
}

/** STAC and CLAC: RFLAGS.AC as SMAP looks at it. At level 0 it checks no alignment. */
function setAccess(set: boolean) {
  return (o: Operation): void => {
    const context = word(o, STATE.dataContext);
    const withoutSmap = word(o, STATE.cr4).and(CR4.SMAP).isZero();
    o.escape(notAtLevel0(o).or(withoutSmap).or(context.eq(NO_CONTEXT)));
    const flags = word(o, STATE.flagsOther);
    o.writeState(STATE.flagsOther, set ? flags.or(RFLAGS.AC) : flags.and(~RFLAGS.AC));
    setDataClass(o, context, o.constant('i32', set ? SUPERVISOR_CLASS : SUPERVISOR_SMAP_CLASS));
  };
}

/** In 64-bit code. VM and RF are not pushed. */
function pushFlags(o: Operation): void {
  push(
    o,
    o
      .eflags()
      .or(word(o, STATE.flagsOther))
      .or(2)
      .and(~(RFLAGS.RF | RFLAGS.VM))
      .as('i64'),
  );
}

export const SYSTEM_CALLS: readonly Description[] = [
  ending('SYSCALL64', syscall),
  ending('SYSRET64', sysret),
  { ...ending('STI64', setInterruptFlag), goesOn: true },
  within('SWAPGS64', swapgs),
  within('CLI64', clearInterruptFlag),
  within('STAC64', setAccess(true)),
  within('CLAC64', setAccess(false)),
  { ...within('PUSHF64', pushFlags), escapes: false },
];
