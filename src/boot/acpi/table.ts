// SPDX-License-Identifier: Apache-2.0
// See: ACPI 5.2.6 System Description Table Header.

import { fixedText } from '../../formats/ascii.ts';
import { concatenate, structure, type FieldRow } from '../structure.ts';

const TABLE_HEADER_BYTES = 36;
const CHECKSUM_AT = 9;
export const OEM_ID = 'TURTLE';
const OEM_TABLE_ID = 'TURTLESP';
const CREATOR_ID = 'TRTL';

/** The byte that makes `bytes`, which must have 0 in its place, add up to 0. */
export function checksumOf(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** A table with its header; `signature` has four characters. */
export function systemTable(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const header: FieldRow[] = [
    ['signature', 4, fixedText(signature, 4)],
    ['length', 4, TABLE_HEADER_BYTES + body.length],
    ['revision', 1, revision],
    ['checksum', 1, 0],
    ['oem_id', 6, fixedText(OEM_ID, 6)],
    ['oem_table_id', 8, fixedText(OEM_TABLE_ID, 8)],
    ['oem_revision', 4, 1],
    ['creator_id', 4, fixedText(CREATOR_ID, 4)],
    ['creator_revision', 4, 1],
  ];
  const table = concatenate([structure(header), body]);
  table[CHECKSUM_AT] = checksumOf(table);
  return table;
}
