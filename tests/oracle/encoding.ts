// SPDX-License-Identifier: Apache-2.0

import { assert } from '../../src/base/assert.ts';

/** The manual's notation of an encoding, taken apart. */
export type Encoding = {
  /** 66, F2, F3 before the opcode. */
  readonly prefixes: readonly number[];
  readonly rexW: boolean;
  readonly opcode: readonly number[];
  /** The low three bits of the last opcode byte name a register. */
  readonly plusRegister: boolean;
  /** 'r': ModR/M with a register in reg; a number: that digit in reg; 'none': no ModR/M. */
  readonly modrm: 'r' | 'none' | number;
  /** Immediate sizes: bytes, or 'z' for 2 or 4 by operand size, 'v' for the full operand size. */
  readonly immediates: readonly (number | 'z' | 'v')[];
  /** VEX: L, pp, mmmmm, W; vvvv names a register. */
  readonly vex?: { readonly pp: number; readonly map: number; readonly w: number };
};

const IMMEDIATES: Record<string, number | 'z' | 'v'> = { ib: 1, iw: 2, id: 4, io: 8, iz: 'z', iv: 'v' };
const VEX_PP: Record<string, number> = { NP: 0, '66': 1, F3: 2, F2: 3 };
const VEX_MAP: Record<string, number> = { '0F': 1, '0F38': 2, '0F3A': 3 };

/** Reads `F3 REX.W 0F B8 /r`, `VEX.66.0F38.W1 F7 /r`, `C7 /0 iz`, `B8+r iv`. */
export function parseEncoding(code: string): Encoding {
  const encoding = { prefixes: [] as number[], rexW: false, opcode: [] as number[], plusRegister: false };
  const immediates: (number | 'z' | 'v')[] = [];
  let modrm: 'r' | 'none' | number = 'none';
  let vex: Encoding['vex'];
  for (const token of code.split(' ')) {
    if (token === 'REX.W') encoding.rexW = true;
    else if (token.startsWith('VEX.')) vex = parseVex(token);
    else if (token === '/r') modrm = 'r';
    else if (/^\/[0-7]$/.test(token)) modrm = Number(token[1]);
    else if (token in IMMEDIATES) immediates.push(IMMEDIATES[token]);
    else {
      const byte = Number.parseInt(token.slice(0, 2), 16);
      assert(/^[0-9A-F]{2}(\+r)?$/.test(token), `token ${token} of ${code}`);
      if (encoding.opcode.length === 0 && !vex && [0x66, 0xf2, 0xf3].includes(byte)) encoding.prefixes.push(byte);
      else encoding.opcode.push(byte);
      if (token.endsWith('+r')) encoding.plusRegister = true;
    }
  }
  return vex ? { ...encoding, modrm, immediates, vex } : { ...encoding, modrm, immediates };
}

function parseVex(token: string): NonNullable<Encoding['vex']> {
  const [, pp, map, w] = token.split('.');
  return { pp: VEX_PP[pp], map: VEX_MAP[map], w: Number(w.slice(1)) };
}
