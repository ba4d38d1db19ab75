// SPDX-License-Identifier: Apache-2.0
import { CR4 } from '../register-bits.ts';
import { RAX, RCX, RDX, STATE } from '../state.ts';
import { TIME_DIRECT } from '../timing.ts';
import type { Description, Operation, Value } from './operation.ts';

/**
 * What waiting guests execute by the million. `STATE.timeDirect` says which of it nobody else has to be asked about;
 * the rest is microcode. They end their block, as the microcode that may come in their place does.
 */
function waiting(mnemonic: string, describe: (o: Operation) => void): Description {
  return {
    mnemonic,
    signatures: [''],
    hot: true,
    endsBlock: true,
    escapes: true,
    goesOn: true,
    describe(o) {
      describe(o);
      o.branch();
    },
  };
}

const word = (o: Operation, offset: number): Value => o.readState(offset, 'i32');
const lacks = (o: Operation, bit: number): Value => word(o, STATE.timeDirect).and(bit).isZero();

/** To EDX:EAX. CR4.TSD forbids it to all levels but 0. */
function readCounter(o: Operation, bit: number): void {
  const forbidden = word(o, STATE.cpl).isZero().not().and(word(o, STATE.cr4).and(CR4.TSD).isZero().not());
  o.escape(lacks(o, bit).or(forbidden));
  const counter = o.ticks().add(o.readState(STATE.tscAhead, 'i64'));
  o.writeRegister(RAX, counter.as('i32'));
  o.writeRegister(RDX, counter.shr(32).as('i32'));
}

/** Under "PAUSE-loop exiting" at level 0 the loop is watched as vtx/pause-loop.ts does. */
function pause(o: Operation): void {
  const now = o.ticks();
  const watched = lacks(o, TIME_DIRECT.pause).and(word(o, STATE.cpl).isZero());
  const far = word(o, STATE.pauseGap)
    .as('i64')
    .lts(now.sub(o.readState(STATE.pauseLast, 'i64')));
  const first = far.select(now, o.readState(STATE.pauseFirst, 'i64'));
  const long = word(o, STATE.pauseWindow).as('i64').lts(now.sub(first));
  const asked = lacks(o, TIME_DIRECT.pause).and(lacks(o, TIME_DIRECT.pauseLoop));
  o.escape(asked.or(watched.and(long)));
  o.when(watched, () => {
    o.writeState(STATE.pauseFirst, first);
    o.writeState(STATE.pauseLast, now);
  });
}

export const TIME: readonly Description[] = [
  waiting('RDTSC', (o) => readCounter(o, TIME_DIRECT.rdtsc)),
  waiting('RDTSCP', (o) => {
    readCounter(o, TIME_DIRECT.rdtscp);
    o.writeRegister(RCX, word(o, STATE.tscAux));
  }),
  waiting('PAUSE', pause),
];
