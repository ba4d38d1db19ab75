// SPDX-License-Identifier: Apache-2.0
// The assembled monitor, as text that is kept with its source, so that fuzzing needs no assembler.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const MONITOR_FILE = join(import.meta.dirname, 'monitor.hex');
/** The labels that programs refer to; their addresses follow the multiboot header. */
export const ENTRIES = ['done', 'write_fields', 'on_exit', 'idt', 'gdt'] as const;
const ENTRIES_AT = 32;
const BYTES_OF_A_LINE = 48;

export interface Monitor {
  readonly digest: string;
  readonly entries: { readonly [Name in (typeof ENTRIES)[number]]: number };
  readonly bytes: Uint8Array;
}

/** SHA-256 of what the monitor is made from. */
export function sourcesDigest(): string {
  const hash = createHash('sha256');
  for (const name of ['monitor.asm', 'layout.ts'])
    hash.update(readFileSync(join(import.meta.dirname, name), 'utf8').replaceAll('\r\n', '\n'));
  return hash.digest('hex');
}

/** The digest of the sources, then the bytes in hexadecimal. */
export function monitorText(digest: string, bytes: Uint8Array): string {
  const lines = [digest];
  for (let at = 0; at < bytes.length; at += BYTES_OF_A_LINE)
    lines.push(Buffer.from(bytes.subarray(at, at + BYTES_OF_A_LINE)).toString('hex'));
  return `${lines.join('\n')}\n`;
}

export function readMonitor(): Monitor {
  const [digest, ...lines] = readFileSync(MONITOR_FILE, 'utf8').trim().split('\n');
  const bytes = Buffer.from(lines.join(''), 'hex');
  const entries = Object.fromEntries(
    ENTRIES.map((name, i) => [name, bytes.readUInt32LE(ENTRIES_AT + 4 * i)]),
  ) as unknown as Monitor['entries'];
  return { digest, entries, bytes };
}
