// SPDX-License-Identifier: Apache-2.0
import { row } from './row.ts';
import type { OpcodeRow } from './row.ts';

/**
 * Packed integers: one opcode in two widths, MMX registers without a prefix and XMM registers with 66.
 * See: SDM 5.4 MMX Instructions; 5.6.3 Intel SSE2 128-Bit SIMD Integer Instructions; 5.8 SSSE3 Instructions.
 */

/** The MMX form arrived with `mmx`, the XMM form with `xmm`. */
function both(opcode: string, mnemonic: string, mmx: string, xmm = 'SSE2', suffix = ''): OpcodeRow[] {
  return [
    row(`NP ${opcode}`, mnemonic, `Pq Qq${suffix}`, { feature: mmx }),
    row(`66 ${opcode}`, mnemonic, `Vdq Wdq${suffix}`, { feature: xmm }),
  ];
}

/** The low halves are interleaved: the MMX form reads 32 bits of memory. */
function unpackLow(opcode: string, mnemonic: string): OpcodeRow[] {
  return [
    row(`NP ${opcode}`, mnemonic, 'Pq Qd', { feature: 'MMX' }),
    row(`66 ${opcode}`, mnemonic, 'Vdq Wdq', { feature: 'SSE2' }),
  ];
}

/** Groups 12 to 14: shifts by an immediate. */
function shift(encoding: string, mnemonic: string): OpcodeRow[] {
  return [
    row(`NP ${encoding}`, mnemonic, 'Nq Ib', { feature: 'MMX' }),
    row(`66 ${encoding}`, mnemonic, 'Udq Ib', { feature: 'SSE2' }),
  ];
}

const SSE2 = { feature: 'SSE2' } as const;
const MMX = { feature: 'MMX' } as const;
const SSE = { feature: 'SSE' } as const;

// prettier-ignore
export const mmxRows: readonly OpcodeRow[] = [
  ...unpackLow('0F 60', 'PUNPCKLBW'),
  ...unpackLow('0F 61', 'PUNPCKLWD'),
  ...unpackLow('0F 62', 'PUNPCKLDQ'),
  ...both('0F 63', 'PACKSSWB',  'MMX'),
  ...both('0F 64', 'PCMPGTB',   'MMX'),
  ...both('0F 65', 'PCMPGTW',   'MMX'),
  ...both('0F 66', 'PCMPGTD',   'MMX'),
  ...both('0F 67', 'PACKUSWB',  'MMX'),
  ...both('0F 68', 'PUNPCKHBW', 'MMX'),
  ...both('0F 69', 'PUNPCKHWD', 'MMX'),
  ...both('0F 6A', 'PUNPCKHDQ', 'MMX'),
  ...both('0F 6B', 'PACKSSDW',  'MMX'),
  row('66 0F 6C',  'PUNPCKLQDQ', 'Vdq Wdq',   SSE2),
  row('66 0F 6D',  'PUNPCKHQDQ', 'Vdq Wdq',   SSE2),
  row('NP 0F 6E',  'MOVD',      'Pq Ey',      { feature: 'MMX', bySize: 'MOVD MOVD MOVQ' }),
  row('66 0F 6E',  'MOVD',      'Vdq Ey',     { feature: 'SSE2', bySize: 'MOVD MOVD MOVQ' }),
  row('NP 0F 6F',  'MOVQ',      'Pq Qq',      MMX),
  row('66 0F 6F',  'MOVDQA',    'Vdq Wdq',    SSE2),
  row('F3 0F 6F',  'MOVDQU',    'Vdq Wdq',    SSE2),
  row('NP 0F 70',  'PSHUFW',    'Pq Qq Ib',   SSE),
  row('66 0F 70',  'PSHUFD',    'Vdq Wdq Ib', SSE2),
  row('F3 0F 70',  'PSHUFHW',   'Vdq Wdq Ib', SSE2),
  row('F2 0F 70',  'PSHUFLW',   'Vdq Wdq Ib', SSE2),
  ...shift('0F 71 /2', 'PSRLW'),
  ...shift('0F 71 /4', 'PSRAW'),
  ...shift('0F 71 /6', 'PSLLW'),
  ...shift('0F 72 /2', 'PSRLD'),
  ...shift('0F 72 /4', 'PSRAD'),
  ...shift('0F 72 /6', 'PSLLD'),
  ...shift('0F 73 /2', 'PSRLQ'),
  ...shift('0F 73 /6', 'PSLLQ'),
  row('66 0F 73 /3', 'PSRLDQ',  'Udq Ib',     SSE2),
  row('66 0F 73 /7', 'PSLLDQ',  'Udq Ib',     SSE2),
  ...both('0F 74', 'PCMPEQB',   'MMX'),
  ...both('0F 75', 'PCMPEQW',   'MMX'),
  ...both('0F 76', 'PCMPEQD',   'MMX'),
  row('NP 0F 77',  'EMMS',      '',           MMX),
  row('NP 0F 7E',  'MOVD',      'Ey Pq',      { feature: 'MMX', bySize: 'MOVD MOVD MOVQ' }),
  row('66 0F 7E',  'MOVD',      'Ey Vdq',     { feature: 'SSE2', bySize: 'MOVD MOVD MOVQ' }),
  row('F3 0F 7E',  'MOVQ',      'Vq Wq',      SSE2),
  row('NP 0F 7F',  'MOVQ',      'Qq Pq',      MMX),
  row('66 0F 7F',  'MOVDQA',    'Wdq Vdq',    SSE2),
  row('F3 0F 7F',  'MOVDQU',    'Wdq Vdq',    SSE2),
  row('NP 0F C4',  'PINSRW',    'Pq Ry/Mw Ib', SSE),
  row('66 0F C4',  'PINSRW',    'Vdq Ry/Mw Ib', SSE2),
  row('NP 0F C5',  'PEXTRW',    'Gy Nq Ib',   SSE),
  row('66 0F C5',  'PEXTRW',    'Gy Udq Ib',  SSE2),
  ...both('0F D1', 'PSRLW',     'MMX'),
  ...both('0F D2', 'PSRLD',     'MMX'),
  ...both('0F D3', 'PSRLQ',     'MMX'),
  ...both('0F D4', 'PADDQ',     'SSE2'),
  ...both('0F D5', 'PMULLW',    'MMX'),
  row('66 0F D6',  'MOVQ',      'Wq Vq',      SSE2),
  row('F3 0F D6',  'MOVQ2DQ',   'Vdq Nq',     SSE2),
  row('F2 0F D6',  'MOVDQ2Q',   'Pq Uq',      SSE2),
  row('NP 0F D7',  'PMOVMSKB',  'Gy Nq',      SSE),
  row('66 0F D7',  'PMOVMSKB',  'Gy Udq',     SSE2),
  ...both('0F D8', 'PSUBUSB',   'MMX'),
  ...both('0F D9', 'PSUBUSW',   'MMX'),
  ...both('0F DA', 'PMINUB',    'SSE'),
  ...both('0F DB', 'PAND',      'MMX'),
  ...both('0F DC', 'PADDUSB',   'MMX'),
  ...both('0F DD', 'PADDUSW',   'MMX'),
  ...both('0F DE', 'PMAXUB',    'SSE'),
  ...both('0F DF', 'PANDN',     'MMX'),
  ...both('0F E0', 'PAVGB',     'SSE'),
  ...both('0F E1', 'PSRAW',     'MMX'),
  ...both('0F E2', 'PSRAD',     'MMX'),
  ...both('0F E3', 'PAVGW',     'SSE'),
  ...both('0F E4', 'PMULHUW',   'SSE'),
  ...both('0F E5', 'PMULHW',    'MMX'),
  row('NP 0F E7',  'MOVNTQ',    'Mq Pq',      SSE),
  row('66 0F E7',  'MOVNTDQ',   'Mdq Vdq',    SSE2),
  ...both('0F E8', 'PSUBSB',    'MMX'),
  ...both('0F E9', 'PSUBSW',    'MMX'),
  ...both('0F EA', 'PMINSW',    'SSE'),
  ...both('0F EB', 'POR',       'MMX'),
  ...both('0F EC', 'PADDSB',    'MMX'),
  ...both('0F ED', 'PADDSW',    'MMX'),
  ...both('0F EE', 'PMAXSW',    'SSE'),
  ...both('0F EF', 'PXOR',      'MMX'),
  ...both('0F F1', 'PSLLW',     'MMX'),
  ...both('0F F2', 'PSLLD',     'MMX'),
  ...both('0F F3', 'PSLLQ',     'MMX'),
  ...both('0F F4', 'PMULUDQ',   'SSE2'),
  ...both('0F F5', 'PMADDWD',   'MMX'),
  ...both('0F F6', 'PSADBW',    'SSE'),
  row('NP 0F F7',  'MASKMOVQ',  'Pq Nq',      SSE),
  row('66 0F F7',  'MASKMOVDQU', 'Vdq Udq',   SSE2),
  ...both('0F F8', 'PSUBB',     'MMX'),
  ...both('0F F9', 'PSUBW',     'MMX'),
  ...both('0F FA', 'PSUBD',     'MMX'),
  ...both('0F FB', 'PSUBQ',     'SSE2'),
  ...both('0F FC', 'PADDB',     'MMX'),
  ...both('0F FD', 'PADDW',     'MMX'),
  ...both('0F FE', 'PADDD',     'MMX'),

  ...both('0F 38 00', 'PSHUFB',    'SSSE3', 'SSSE3'),
  ...both('0F 38 01', 'PHADDW',    'SSSE3', 'SSSE3'),
  ...both('0F 38 02', 'PHADDD',    'SSSE3', 'SSSE3'),
  ...both('0F 38 03', 'PHADDSW',   'SSSE3', 'SSSE3'),
  ...both('0F 38 04', 'PMADDUBSW', 'SSSE3', 'SSSE3'),
  ...both('0F 38 05', 'PHSUBW',    'SSSE3', 'SSSE3'),
  ...both('0F 38 06', 'PHSUBD',    'SSSE3', 'SSSE3'),
  ...both('0F 38 07', 'PHSUBSW',   'SSSE3', 'SSSE3'),
  ...both('0F 38 08', 'PSIGNB',    'SSSE3', 'SSSE3'),
  ...both('0F 38 09', 'PSIGNW',    'SSSE3', 'SSSE3'),
  ...both('0F 38 0A', 'PSIGND',    'SSSE3', 'SSSE3'),
  ...both('0F 38 0B', 'PMULHRSW',  'SSSE3', 'SSSE3'),
  ...both('0F 38 1C', 'PABSB',     'SSSE3', 'SSSE3'),
  ...both('0F 38 1D', 'PABSW',     'SSSE3', 'SSSE3'),
  ...both('0F 38 1E', 'PABSD',     'SSSE3', 'SSSE3'),
  ...both('0F 3A 0F', 'PALIGNR',   'SSSE3', 'SSSE3', ' Ib'),
];
