// SPDX-License-Identifier: Apache-2.0
import { environmentBytes, packEnvironment, packRegisters, unpackEnvironment, unpackRegisters } from './images.ts';
import { NOTHING, formatOf, littleEndian, memoryOf, plain, toBytes } from './instruction.ts';
import type { Run, X87Instruction, X87Operand } from './instruction.ts';
import { FCW, FSW } from './registers.ts';
import type { X87 } from './x87.ts';

function control(
  name: string,
  waits: boolean,
  memory: X87Instruction['memory'],
  bytes: number,
  run: Run,
): X87Instruction {
  return { name, memory, bytes, waits, control: true, run };
}

/** A control instruction without memory operand and outcome. */
function simple(name: string, waits: boolean, run: (x87: X87) => void): X87Instruction {
  return control(name, waits, 'none', 0, (x87) => {
    run(x87);
    return NOTHING;
  });
}

function clearExceptions(x87: X87): void {
  x87.fsw &= FSW.afterClear;
}

function rotate(x87: X87, by: number): void {
  x87.top += by;
  x87.setC1(false);
}

function free(x87: X87, i: number): void {
  x87.free(i);
  x87.setC1(false);
}

function storeEnvironment(x87: X87, operand: X87Operand): { store: Uint8Array } {
  const store = packEnvironment(x87, formatOf(operand));
  x87.fcw |= FCW.masks;
  return { store };
}

function save(x87: X87, operand: X87Operand): { store: Uint8Array } {
  const environment = packEnvironment(x87, formatOf(operand));
  const store = new Uint8Array([...environment, ...packRegisters(x87)]);
  x87.initialize();
  return { store };
}

const loadEnvironment: Run = (x87, operand) => {
  unpackEnvironment(x87, memoryOf(operand), formatOf(operand));
  return NOTHING;
};

const restore: Run = (x87, operand) => {
  const format = formatOf(operand);
  const memory = memoryOf(operand);
  const length = environmentBytes(format);
  unpackEnvironment(x87, memory.subarray(0, length), format);
  unpackRegisters(x87, memory.subarray(length));
  return NOTHING;
};

const loadControlWord: Run = (x87, operand) => {
  x87.fcw = Number(littleEndian(memoryOf(operand)));
  return NOTHING;
};

/** Those of the 8087 and 287 that later processors ignore. */
const IGNORED = ['FNENI', 'FNDISI', 'FNSETPM'];

export const CONTROL: readonly X87Instruction[] = [
  simple('FWAIT', true, () => {}),
  simple('FNCLEX', false, clearExceptions),
  simple('FNINIT', false, (x87) => x87.initialize()),
  ...IGNORED.map((name) => simple(name, false, () => {})),
  control('FLDCW m2byte', true, 'load', 2, loadControlWord),
  control('FNSTCW m2byte', false, 'store', 2, (x87) => ({ store: toBytes(BigInt(x87.fcw), 2) })),
  control('FNSTSW m2byte', false, 'store', 2, (x87) => ({ store: toBytes(BigInt(x87.fsw), 2) })),
  control('FNSTSW AX', false, 'none', 0, (x87) => ({ ax: x87.fsw })),
  control('FLDENV m14/28byte', true, 'load', 0, loadEnvironment),
  control('FNSTENV m14/28byte', false, 'store', 0, storeEnvironment),
  control('FRSTOR m94/108byte', true, 'load', 0, restore),
  control('FNSAVE m94/108byte', false, 'store', 0, save),
  plain('FNOP', () => {}),
  plain('FINCSTP', (x87) => rotate(x87, 1)),
  plain('FDECSTP', (x87) => rotate(x87, -1)),
  plain('FFREE STi', free),
  plain('FFREEP STi', (x87, i) => {
    free(x87, i);
    x87.pop();
  }),
];
