// SPDX-License-Identifier: Apache-2.0

import type { Draft } from '../draft.ts';
import { DF, formsOf, type Row } from '../form.ts';
import { DATA, NON_CANONICAL, READ_ONLY, UNMAPPED } from '../memory-map.ts';

const RCX = 1;
const RSI = 6;
const RDI = 7;

type Prefix = 'none' | 'rep' | 'repne';

// prettier-ignore
const OPERATIONS: readonly (readonly [mnemonic: string, byteOpcode: number, source: boolean, destination: boolean, compares: boolean])[] = [
  ['movs', 0xa4, true,  true,  false],
  ['cmps', 0xa6, true,  true,  true],
  ['stos', 0xaa, false, true,  false],
  ['lods', 0xac, true,  false, false],
  ['scas', 0xae, false, true,  true],
];

/** Some addresses near an edge, so that the fault comes after some iterations. */
function chooseStart(d: Draft): bigint {
  const { random } = d;
  if (random.chance(70)) return BigInt(DATA + 0x400 + random.below(0x1800));
  if (random.chance(50)) return BigInt(READ_ONLY + random.below(0x100) - 0x80);
  return random.chance(50) ? BigInt(DATA + random.below(64)) : d.chooseAddress(d.size);
}

/** Runs of equal elements make CMPS and SCAS go on for a while. */
function fill(d: Draft, address: bigint, around: number): void {
  const low = address - BigInt(16 * d.size);
  const bytes = d.random.chance(70) ? new Uint8Array(32 * d.size).fill(around) : d.random.bytes(32 * d.size);
  if (d.random.chance(60)) bytes[d.random.below(bytes.length)] ^= 0x41;
  if (low > 0x1000n && address < 0x7fff_ffff_ffffn) d.patch(low, bytes);
}

/** Neither end can be accessed: which of the two faults comes first? */
function bothBad(d: Draft): void {
  const bad = [BigInt(UNMAPPED) + BigInt(d.random.below(0x800)), NON_CANONICAL + BigInt(d.random.below(256))];
  if (d.random.chance(50)) bad.reverse();
  [d.state.general[RSI], d.state.general[RDI]] = bad;
}

function prepare(source: boolean, destination: boolean, prefix: Prefix, address32: boolean) {
  return (d: Draft): void => {
    const { random, state } = d;
    if (random.chance(40)) state.rflags |= BigInt(DF);
    const filler = random.chance(50) ? Number(state.general[0] & 0xffn) : random.below(256);
    if (random.chance(60)) state.general[0] = BigInt(`0x${filler.toString(16).padStart(2, '0').repeat(8)}`);
    const high = address32 ? BigInt.asUintN(64, random.u64() << 32n) : 0n;
    for (const [used, register] of [
      [source, RSI],
      [destination, RDI],
    ] as const) {
      if (!used) continue;
      let start = chooseStart(d);
      if (address32 && start >> 32n) start = BigInt(DATA + 0x800);
      state.general[register] = start | high;
      fill(d, start, filler);
    }
    if (source && destination && !address32 && random.chance(4)) bothBad(d);
    if (prefix !== 'none') state.general[RCX] = BigInt((address32 ? 1 : 0) + random.below(24)) | high;
  };
}

function emit(opcode: number, prefix: Prefix, address32: boolean) {
  return (d: Draft): number[] => {
    const bytes: number[] = address32 ? [0x67] : [];
    if (d.size === 2) bytes.push(0x66);
    if (prefix !== 'none') bytes.push(prefix === 'rep' ? 0xf3 : 0xf2);
    if (d.size === 8) bytes.push(0x48);
    return [...bytes, d.size === 1 ? opcode : opcode + 1];
  };
}

const rows: Row[] = OPERATIONS.flatMap(([mnemonic, opcode, source, destination, compares]) =>
  (compares ? (['none', 'rep', 'repne'] as const) : (['none', 'rep'] as const)).flatMap((prefix) =>
    [false, true].map((address32): Row => {
      const options = { sizes: 'bwdq', repeat: prefix !== 'none' };
      const code = `${prefix === 'none' ? '' : `${prefix} `}${address32 ? 'address32 ' : ''}${opcode.toString(16).toUpperCase()}`;
      return [
        mnemonic,
        code,
        { ...options, prepare: prepare(source, destination, prefix, address32), emit: emit(opcode, prefix, address32) },
      ];
    }),
  ),
);

export const STRING_FORMS = formsOf('string', rows);
