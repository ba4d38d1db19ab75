// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';

/** One member of an archive; `bytes` is a view into the archive. */
export interface ArMember {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const MAGIC = '!<arch>\n';
const HEADER_SIZE = 60;

// prettier-ignore
const HEADER = {
  name: { start: 0,  end: 16 },
  size: { start: 48, end: 58 },
  end:  { start: 58, end: 60 },
} as const;

/**
 * The members of a Unix ar(5) archive, which is what a .deb is, in their order. Names are at most 16 characters
 * (a trailing slash, which some writers add, is dropped). Throws a UserError that says what is wrong and where.
 */
export function readAr(archive: Uint8Array): ArMember[] {
  if (latin1(archive, 0, MAGIC.length) !== MAGIC) throw malformed('its first bytes are not "!<arch>"');
  const members: ArMember[] = [];
  let offset = MAGIC.length;
  while (offset < archive.length) {
    const member = memberAt(archive, offset);
    members.push(member);
    const end = offset + HEADER_SIZE + member.bytes.length;
    offset = end + (end & 1);
  }
  return members;
}

function memberAt(archive: Uint8Array, offset: number): ArMember {
  const field = (at: { start: number; end: number }) => latin1(archive, offset + at.start, offset + at.end);
  if (field(HEADER.end) !== '`\n') throw malformed(`no member header at byte ${offset}`);
  const size = Number(field(HEADER.size).trim() || NaN);
  const start = offset + HEADER_SIZE;
  if (!Number.isInteger(size) || size < 0) throw malformed(`bad member size at byte ${offset}`);
  if (start + size > archive.length) throw malformed(`truncated in the member at byte ${offset}`);
  return { name: field(HEADER.name).trimEnd().replace(/\/$/, ''), bytes: archive.subarray(start, start + size) };
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end));
}

function malformed(what: string): UserError {
  return new UserError(`Malformed ar archive: ${what}.`, 'is the file complete, and of this format?');
}
