// SPDX-License-Identifier: Apache-2.0
import { row } from './row.ts';
import type { OpcodeRow } from './row.ts';

/** Floating point in XMM registers. See: SDM 5.5 Intel SSE Instructions; 5.6 Intel SSE2 Instructions; 5.7 Intel SSE3 Instructions. */
const SSE = { feature: 'SSE' } as const;
const SSE2 = { feature: 'SSE2' } as const;
const SSE3 = { feature: 'SSE3' } as const;

/** Packed single and packed double. */
function packed(opcode: string, mnemonic: string, suffix = ''): OpcodeRow[] {
  return [
    row(`NP ${opcode}`, `${mnemonic}PS`, `Vps Wps${suffix}`, SSE),
    row(`66 ${opcode}`, `${mnemonic}PD`, `Vpd Wpd${suffix}`, SSE2),
  ];
}

/** Packed and scalar, single and double. */
function all(opcode: string, mnemonic: string, suffix = ''): OpcodeRow[] {
  return [
    ...packed(opcode, mnemonic, suffix),
    row(`F3 ${opcode}`, `${mnemonic}SS`, `Vss Wss${suffix}`, SSE),
    row(`F2 ${opcode}`, `${mnemonic}SD`, `Vsd Wsd${suffix}`, SSE2),
  ];
}

// prettier-ignore
export const sseRows: readonly OpcodeRow[] = [
  row('NP 0F 10', 'MOVUPS',    'Vps Wps', SSE),
  row('66 0F 10', 'MOVUPD',    'Vpd Wpd', SSE2),
  row('F3 0F 10', 'MOVSS',     'Vss Wss', SSE),
  row('F2 0F 10', 'MOVSD',     'Vsd Wsd', SSE2),
  row('NP 0F 11', 'MOVUPS',    'Wps Vps', SSE),
  row('66 0F 11', 'MOVUPD',    'Wpd Vpd', SSE2),
  row('F3 0F 11', 'MOVSS',     'Wss Vss', SSE),
  row('F2 0F 11', 'MOVSD',     'Wsd Vsd', SSE2),
  row('NP 0F 12', 'MOVLPS',    'Vq Mq',   SSE),
  row('NP 0F 12', 'MOVHLPS',   'Vq Uq',   SSE),
  row('66 0F 12', 'MOVLPD',    'Vq Mq',   SSE2),
  row('F3 0F 12', 'MOVSLDUP',  'Vps Wps', SSE3),
  row('F2 0F 12', 'MOVDDUP',   'Vpd Wq',  SSE3),
  row('NP 0F 13', 'MOVLPS',    'Mq Vq',   SSE),
  row('66 0F 13', 'MOVLPD',    'Mq Vq',   SSE2),
  ...packed('0F 14', 'UNPCKL'),
  ...packed('0F 15', 'UNPCKH'),
  row('NP 0F 16', 'MOVHPS',    'Vq Mq',   SSE),
  row('NP 0F 16', 'MOVLHPS',   'Vq Uq',   SSE),
  row('66 0F 16', 'MOVHPD',    'Vq Mq',   SSE2),
  row('F3 0F 16', 'MOVSHDUP',  'Vps Wps', SSE3),
  row('NP 0F 17', 'MOVHPS',    'Mq Vq',   SSE),
  row('66 0F 17', 'MOVHPD',    'Mq Vq',   SSE2),
  ...packed('0F 28', 'MOVA'),
  row('NP 0F 29', 'MOVAPS',    'Wps Vps', SSE),
  row('66 0F 29', 'MOVAPD',    'Wpd Vpd', SSE2),
  row('NP 0F 2A', 'CVTPI2PS',  'Vps Qpi', SSE),
  row('66 0F 2A', 'CVTPI2PD',  'Vpd Qpi', SSE2),
  row('F3 0F 2A', 'CVTSI2SS',  'Vss Ey',  SSE),
  row('F2 0F 2A', 'CVTSI2SD',  'Vsd Ey',  SSE2),
  row('NP 0F 2B', 'MOVNTPS',   'Mps Vps', SSE),
  row('66 0F 2B', 'MOVNTPD',   'Mpd Vpd', SSE2),
  row('NP 0F 2C', 'CVTTPS2PI', 'Pq Wq',   SSE),
  row('66 0F 2C', 'CVTTPD2PI', 'Pq Wpd',  SSE2),
  row('F3 0F 2C', 'CVTTSS2SI', 'Gy Wss',  SSE),
  row('F2 0F 2C', 'CVTTSD2SI', 'Gy Wsd',  SSE2),
  row('NP 0F 2D', 'CVTPS2PI',  'Pq Wq',   SSE),
  row('66 0F 2D', 'CVTPD2PI',  'Pq Wpd',  SSE2),
  row('F3 0F 2D', 'CVTSS2SI',  'Gy Wss',  SSE),
  row('F2 0F 2D', 'CVTSD2SI',  'Gy Wsd',  SSE2),
  row('NP 0F 2E', 'UCOMISS',   'Vss Wss', SSE),
  row('66 0F 2E', 'UCOMISD',   'Vsd Wsd', SSE2),
  row('NP 0F 2F', 'COMISS',    'Vss Wss', SSE),
  row('66 0F 2F', 'COMISD',    'Vsd Wsd', SSE2),
  row('NP 0F 50', 'MOVMSKPS',  'Gy Ups',  SSE),
  row('66 0F 50', 'MOVMSKPD',  'Gy Upd',  SSE2),
  ...all('0F 51', 'SQRT'),
  row('NP 0F 52', 'RSQRTPS',   'Vps Wps', SSE),
  row('F3 0F 52', 'RSQRTSS',   'Vss Wss', SSE),
  row('NP 0F 53', 'RCPPS',     'Vps Wps', SSE),
  row('F3 0F 53', 'RCPSS',     'Vss Wss', SSE),
  ...packed('0F 54', 'AND'),
  ...packed('0F 55', 'ANDN'),
  ...packed('0F 56', 'OR'),
  ...packed('0F 57', 'XOR'),
  ...all('0F 58', 'ADD'),
  ...all('0F 59', 'MUL'),
  row('NP 0F 5A', 'CVTPS2PD',  'Vpd Wq',  SSE2),
  row('66 0F 5A', 'CVTPD2PS',  'Vps Wpd', SSE2),
  row('F3 0F 5A', 'CVTSS2SD',  'Vsd Wss', SSE2),
  row('F2 0F 5A', 'CVTSD2SS',  'Vss Wsd', SSE2),
  row('NP 0F 5B', 'CVTDQ2PS',  'Vps Wdq', SSE2),
  row('66 0F 5B', 'CVTPS2DQ',  'Vdq Wps', SSE2),
  row('F3 0F 5B', 'CVTTPS2DQ', 'Vdq Wps', SSE2),
  ...all('0F 5C', 'SUB'),
  ...all('0F 5D', 'MIN'),
  ...all('0F 5E', 'DIV'),
  ...all('0F 5F', 'MAX'),
  row('66 0F 7C', 'HADDPD',    'Vpd Wpd', SSE3),
  row('F2 0F 7C', 'HADDPS',    'Vps Wps', SSE3),
  row('66 0F 7D', 'HSUBPD',    'Vpd Wpd', SSE3),
  row('F2 0F 7D', 'HSUBPS',    'Vps Wps', SSE3),
  row('NP 0F AE /2', 'LDMXCSR', 'Md',     SSE),
  row('NP 0F AE /3', 'STMXCSR', 'Md',     SSE),
  ...all('0F C2', 'CMP', ' Ib'),
  row('NP 0F C3', 'MOVNTI',    'My Gy',   SSE2),
  ...packed('0F C6', 'SHUF', ' Ib'),
  row('66 0F D0', 'ADDSUBPD',  'Vpd Wpd', SSE3),
  row('F2 0F D0', 'ADDSUBPS',  'Vps Wps', SSE3),
  row('F3 0F E6', 'CVTDQ2PD',  'Vpd Wq',  SSE2),
  row('66 0F E6', 'CVTTPD2DQ', 'Vdq Wpd', SSE2),
  row('F2 0F E6', 'CVTPD2DQ',  'Vdq Wpd', SSE2),
  row('F2 0F F0', 'LDDQU',     'Vdq Mdq', SSE3),
];
