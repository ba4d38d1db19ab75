// SPDX-License-Identifier: Apache-2.0
import { generalRows } from './general.ts';
import { mmxRows } from './mmx.ts';
import type { OpcodeRow } from './row.ts';
import { sseRows } from './sse.ts';
import { sse4Rows } from './sse4.ts';
import { systemRows } from './system.ts';
import { vmxRows } from './vmx.ts';
import { x87Rows } from './x87.ts';

/** Every instruction form of the machine, one row each; `id` is the index. */
export const opcodeTable: readonly OpcodeRow[] = [
  ...generalRows,
  ...systemRows,
  ...vmxRows,
  ...x87Rows,
  ...mmxRows,
  ...sseRows,
  ...sse4Rows,
].map((form, id) => ({ ...form, id }));

/**
 * What a row's bytes mean on a processor without the row's feature: TZCNT is BSF there, LZCNT is BSR, WBNOINVD is WBINVD.
 * Undefined where they mean nothing.
 */
export function rowWithoutFeature(row: OpcodeRow): OpcodeRow | undefined {
  if (row.feature === undefined || row.mandatoryPrefix <= 0) return undefined;
  return opcodeTable.find(
    (other) =>
      other.map === row.map &&
      other.opcode === row.opcode &&
      other.prefixClasses === 0b1111 &&
      (other.digit < 0 || other.digit === row.digit),
  );
}
