// SPDX-License-Identifier: Apache-2.0

/** Pseudo-random numbers, the same for a seed everywhere. */
export class Dice {
  private state: number;
  constructor(seed: number) {
    this.state = seed >>> 0 || 1;
  }
  below(n: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % n;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** RBX is the base of memory operands, RSP the stack, R15 counts rounds. */
const FREE = [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
const BASE = 3;

type Emit = (dice: Dice) => number[];

interface Operands {
  readonly wide?: boolean;
  readonly bytes?: boolean;
}

/** REX, opcode bytes, ModRM: register `reg` and either a register or [RBX + disp8]. */
function modrm(
  dice: Dice,
  opcode: readonly number[],
  reg: number,
  { wide = false, bytes = false }: Operands = {},
): number[] {
  const memory = dice.below(3) === 0;
  const rm = memory ? BASE : dice.pick(FREE);
  const rex = 0x40 | (wide ? 8 : 0) | ((reg >> 3) << 2) | (rm >> 3);
  const head = rex !== 0x40 || bytes ? [rex] : [];
  const tail = memory ? [0x40 | ((reg & 7) << 3) | (rm & 7), dice.below(120)] : [0xc0 | ((reg & 7) << 3) | (rm & 7)];
  return [...head, ...opcode, ...tail];
}

const register = (dice: Dice): number => dice.pick(FREE);
const immediate32 = (dice: Dice): number[] => Array.from({ length: 4 }, () => dice.below(256));
const wide = (dice: Dice): Operands => ({ wide: dice.below(2) === 1 });
const prefix16 = (dice: Dice): number[] => (dice.below(6) === 0 ? [0x66] : []);

/** Instructions that neither fault nor leave, with their ModRM forms. */
// prettier-ignore
export const EMITTERS: readonly Emit[] = [
  // ADD OR ADC SBB AND SUB XOR CMP, both directions, all sizes.
  (d) => [...prefix16(d), ...modrm(d, [d.below(8) * 8 + d.pick([1, 3])], register(d), wide(d))],
  (d) => modrm(d, [d.below(8) * 8 + d.pick([0, 2])], register(d), { bytes: true }),
  (d) => [...modrm(d, [0x83], d.below(8), wide(d)), d.below(256)],
  (d) => [...modrm(d, [0x81], d.below(8), wide(d)), ...immediate32(d)],
  (d) => modrm(d, [d.pick([0x85, 0x89, 0x8b, 0x87])], register(d), wide(d)),
  (d) => modrm(d, [d.pick([0x88, 0x8a, 0x84])], register(d), { bytes: true }),
  // AH CH DH BH, without REX.
  (d) => [d.pick([0x00, 0x28, 0x38, 0x30, 0x88]), 0xc0 | ((4 + d.pick([0, 1, 2])) << 3) | d.pick([0, 1, 2])],
  // Shifts and rotates, by immediate, one, CL.
  (d) => [...modrm(d, [0xc1], d.below(8), wide(d)), d.below(70)],
  (d) => [...modrm(d, [0xc0], d.below(8), { bytes: true }), d.below(40)],
  (d) => modrm(d, [d.pick([0xd1, 0xd3])], d.below(8), wide(d)),
  (d) => [...modrm(d, [0x0f, d.pick([0xa4, 0xac])], register(d), wide(d)), d.below(40)],
  // NOT NEG MUL IMUL, INC DEC, IMUL r, r/m.
  (d) => modrm(d, [0xf7], d.pick([2, 3, 4, 5]), wide(d)),
  (d) => modrm(d, [0xff], d.below(2), wide(d)),
  (d) => modrm(d, [0xfe], d.below(2), { bytes: true }),
  (d) => modrm(d, [0x0f, 0xaf], register(d), wide(d)),
  (d) => [...modrm(d, [0x6b], register(d), wide(d)), d.below(256)],
  // CMOVcc SETcc MOVZX MOVSX MOVSXD BT BTS BSF BSR POPCNT XADD CMPXCHG.
  (d) => modrm(d, [0x0f, 0x40 + d.below(16)], register(d), wide(d)),
  (d) => modrm(d, [0x0f, 0x90 + d.below(16)], 0, { bytes: true }),
  (d) => modrm(d, [0x0f, d.pick([0xb6, 0xb7, 0xbe, 0xbf])], register(d), wide(d)),
  (d) => modrm(d, [0x63], register(d), { wide: true }),
  (d) => [...modrm(d, [0x0f, 0xba], d.pick([4, 5, 6, 7]), wide(d)), d.below(64)],
  (d) => [0xf3, ...modrm(d, [0x0f, d.pick([0xb8, 0xbc, 0xbd])], register(d), {})],
  (d) => modrm(d, [0x0f, d.pick([0xc1, 0xb1])], register(d), wide(d)),
  // LEA with index, BSWAP, CDQ and CQO, LAHF SAHF, CLC STC CMC.
  (d) => { const r = register(d), i = register(d), b = register(d); return [0x48 | ((r >> 3) << 2) | ((i >> 3) << 1) | (b >> 3), 0x8d, 0x44 | ((r & 7) << 3), (d.below(4) << 6) | ((i & 7) << 3) | (b & 7), d.below(256)]; },
  (d) => { const r = register(d); return [0x48 | (r >> 3), 0x0f, 0xc8 | (r & 7)]; },
  (d) => d.pick([[0x99], [0x48, 0x99], [0x48, 0x98], [0x9f], [0x9e], [0xf8], [0xf9], [0xf5], [0x90]]),
  // PUSH and POP in pairs.
  (d) => { const a = register(d), b = register(d); return [0x40 | (a >> 3), 0x50 | (a & 7), 0x40 | (b >> 3), 0x58 | (b & 7)]; },
  // MOVD, PADDD, PXOR, MOVDQU, PSHUFD: what integer SSE looks like.
  (d) => [0x66, ...modrm(d, [0x0f, d.pick([0x6e, 0x7e])], d.below(8), {})],
  (d) => [0x66, 0x0f, d.pick([0xfe, 0xef, 0xd4, 0xdb, 0x62, 0x6c]), 0xc0 | d.below(64)],
  (d) => [0xf3, ...modrm(d, [0x0f, 0x6f], d.below(8), {})].slice(0, 4).length === 4 ? [0xf3, 0x0f, 0x7f, 0x43 | (d.below(8) << 3), d.below(100)] : [0x90],
];

/** A conditional jump over what follows, a call of the leaf, a jump through a register, or a plain instruction. */
function piece(dice: Dice, leaf: (at: number) => number[], at: number, depth: number): number[] {
  const kind = depth > 2 ? 9 : dice.below(14);
  if (kind < 4) {
    const body: number[] = [];
    for (let n = 1 + dice.below(4); n > 0; n--) body.push(...piece(dice, leaf, at + 2 + body.length, depth + 1));
    if (body.length < 120) return [0x70 + dice.below(16), body.length, ...body];
    return body;
  }
  if (kind === 4) return leaf(at);
  return dice.pick(EMITTERS)(dice);
}

/** Code for `address`: rounds of random work with branches, inner loops and calls, then HLT. */
export function randomProgram(seed: number, address: number, rounds: number): Uint8Array {
  const dice = new Dice(seed);
  const code: number[] = [];
  for (const register of FREE)
    code.push(0x48 | (register >> 3), 0xb8 | (register & 7), ...Array.from({ length: 8 }, () => dice.below(256)));
  code.push(0x48, 0xbb, 0, 0, 2, 0, 0, 0, 0, 0, 0x41, 0xbf, rounds & 255, rounds >> 8, 0, 0);
  const skip = code.length;
  code.push(0xe9, 0, 0, 0, 0);
  const leafAt = code.length;
  for (let n = 2 + dice.below(6); n > 0; n--) code.push(...dice.pick(EMITTERS)(dice));
  code.push(0xc3);
  relative32(code, skip + 1, code.length);
  const leaf = (at: number): number[] => {
    const call = [0xe8, 0, 0, 0, 0];
    relative32(call, 1, leafAt - at);
    return call;
  };
  const start = code.length;
  for (let n = 8 + dice.below(20); n > 0; n--) code.push(...piece(dice, leaf, code.length, 0));
  innerLoop(dice, code);
  code.push(0x49, 0xff, 0xcf, 0x0f, 0x85, 0, 0, 0, 0);
  relative32(code, code.length - 4, start);
  code.push(0xf4, 0xeb, 0xfd);
  void address;
  return Uint8Array.from(code);
}

/** MOV ECX, n; body; DEC ECX; JNZ: RCX is the body's own business only where the loop does not need it. */
function innerLoop(dice: Dice, code: number[]): void {
  code.push(0xb9, 1 + dice.below(20), 0, 0, 0);
  const top = code.length;
  code.push(0x48, 0x01, 0xc8, 0x48, 0x31, 0x43, dice.below(100), 0x49, 0x11, 0xc0, 0xff, 0xc9, 0x75, 0);
  code[code.length - 1] = (top - code.length) & 255;
}

function relative32(code: number[], at: number, target: number): void {
  const distance = target - (at + 4);
  for (let i = 0; i < 4; i++) code[at + i] = (distance >> (i * 8)) & 255;
}
