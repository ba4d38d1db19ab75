// SPDX-License-Identifier: Apache-2.0
import { RCX, RSP } from '../state.ts';
import { push } from './move.ts';
import type { Description, Operation, Value } from './operation.ts';

const GENERAL_PROTECTION = 13;

function ending(
  mnemonic: string,
  signatures: readonly string[],
  describe: (o: Operation) => void,
  hot = true,
): Description {
  return { mnemonic, signatures, hot, endsBlock: true, describe };
}

/** A near branch in 64-bit code to an address that is not canonical faults at the branch. */
function checkedTarget(o: Operation, target: Value): Value {
  o.fault(target.shl(16).sar(16).eq(target).not(), GENERAL_PROTECTION);
  return target;
}

function nearReturn(o: Operation): void {
  const rsp = o.register(RSP, 'i64');
  const target = checkedTarget(o, o.load('i64', rsp, true));
  const released = o.operands.length ? o.read(0).as('i64').add(8) : o.constant('i64', 8);
  o.writeRegister(RSP, rsp.add(released));
  o.jump(target);
}

function loop(test: (o: Operation, taken: Value) => Value) {
  return (o: Operation): void => {
    const count = o.register(RCX, o.operands[0].bits === 32 ? 'i32' : 'i64').sub(1);
    const taken = test(o, count.isZero().not());
    o.writeRegister(RCX, count);
    o.branch(taken);
  };
}

/** All forms here are those of 64-bit code (Jcc and JMP also of flat 32-bit code); the rest is microcode. */
export const CONTROL: readonly Description[] = [
  ending('JMP', [''], (o) => o.branch()),
  ending('JMP64', ['r64', 'm64'], (o) => o.jump(checkedTarget(o, o.read(0)))),
  ...Array.from({ length: 16 }, (_, code) => ending(`J${code}`, [''], (o) => o.branch(o.condition(code)))),
  ending('CALL64', [''], (o) => {
    push(o, o.nextRip());
    o.branch();
  }),
  ending('CALL64', ['r64', 'm64'], (o) => {
    const target = checkedTarget(o, o.read(0));
    push(o, o.nextRip());
    o.jump(target);
  }),
  ending('RET64', ['', 'i16'], nearReturn),
  ending(
    'LOOP64',
    ['i32', 'i64'],
    loop((_o, taken) => taken),
    false,
  ),
  ending(
    'LOOPE64',
    ['i32', 'i64'],
    loop((o, taken) => taken.and(o.condition(4))),
    false,
  ),
  ending(
    'LOOPNE64',
    ['i32', 'i64'],
    loop((o, taken) => taken.and(o.condition(5))),
    false,
  ),
  ending(
    'JRCXZ64',
    ['i32', 'i64'],
    (o) => o.branch(o.register(RCX, o.operands[0].bits === 32 ? 'i32' : 'i64').isZero()),
    false,
  ),
];
