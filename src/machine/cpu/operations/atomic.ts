// SPDX-License-Identifier: Apache-2.0
import { RAX, RBX, RCX, RDX } from '../state.ts';
import { twoOperandForms } from './alu.ts';
import type { Description, Operation } from './operation.ts';

const ALL = [8, 16, 32, 64];

/**
 * A memory destination is written whether or not the comparison holds. A 32-bit accumulator or register destination
 * is zero-extended only where it is really loaded.
 */
function compareExchange(o: Operation): void {
  const destination = o.readForUpdate(0);
  const source = o.read(1);
  const accumulator = o.register(RAX, destination.type);
  const difference = accumulator.sub(destination);
  const equal = difference.isZero();
  if (o.operands[0].kind === 'm') o.write(0, equal.select(source, destination));
  else o.when(equal, () => o.write(0, source));
  o.when(equal.not(), () => o.writeRegister(RAX, destination));
  o.flags('sub', accumulator, destination, difference);
}

function compareExchangePair(type: 'i32' | 'i64') {
  return (o: Operation): void => {
    const bytes = type === 'i32' ? 4 : 8;
    const address = o.operandAddress();
    if (bytes === 8) o.fault(address.and(15n).isZero().not(), 13);
    const probe = o.probe(bytes * 2, address, 'modify');
    const low = o.loadProbed(probe, type);
    const high = o.loadProbed(probe.add(bytes), type);
    const equal = low.eq(o.register(RAX, type)).and(high.eq(o.register(RDX, type)));
    o.store(probe, equal.select(o.register(RBX, type), low));
    o.store(probe.add(bytes), equal.select(o.register(RCX, type), high));
    o.when(equal.not(), () => {
      o.writeRegister(RAX, low);
      o.writeRegister(RDX, high);
    });
    o.setEflags(o.eflags().and(~0x40).or(equal.as('i32').shl(6)));
  };
}

function exchangeAdd(o: Operation): void {
  const a = o.readForUpdate(0);
  const b = o.read(1);
  const sum = a.add(b);
  o.write(1, a);
  o.write(0, sum);
  o.flags('add', a, b, sum);
}

export const ATOMICS: readonly Description[] = [
  {
    mnemonic: 'CMPXCHG',
    signatures: twoOperandForms(ALL, ['rr', 'mr']),
    hot: true,
    endsBlock: false,
    describe: compareExchange,
  },
  {
    mnemonic: 'XADD',
    signatures: twoOperandForms(ALL, ['rr', 'mr']),
    hot: false,
    endsBlock: false,
    describe: exchangeAdd,
  },
  { mnemonic: 'CMPXCHG8B', signatures: ['m64'], hot: false, endsBlock: false, describe: compareExchangePair('i32') },
  { mnemonic: 'CMPXCHG16B', signatures: ['m128'], hot: false, endsBlock: false, describe: compareExchangePair('i64') },
];
