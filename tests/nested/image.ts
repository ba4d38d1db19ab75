// SPDX-License-Identifier: Apache-2.0
// The assembled L1 and L2, as text that is kept with its sources, so that the test needs no assembler.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export const IMAGE_FILE = join(import.meta.dirname, 'l1.hex');
const BYTES_OF_A_LINE = 48;

/** SHA-256 of the assembler sources, names included. */
export function sourcesDigest(): string {
  const hash = createHash('sha256');
  const names = readdirSync(import.meta.dirname).filter((name) => /\.(asm|inc)$/.test(name));
  for (const name of names.sort()) {
    const text = readFileSync(join(import.meta.dirname, name), 'utf8');
    hash.update(`${name}\n${text.replaceAll('\r\n', '\n')}`);
  }
  return hash.digest('hex');
}

/** First the digest of the sources, then the bytes in hexadecimal. */
export function imageText(digest: string, bytes: Uint8Array): string {
  const lines = [digest];
  for (let at = 0; at < bytes.length; at += BYTES_OF_A_LINE) {
    lines.push(Buffer.from(bytes.subarray(at, at + BYTES_OF_A_LINE)).toString('hex'));
  }
  return `${lines.join('\n')}\n`;
}

/** The bytes, and the digest of the sources that they were made from. */
export function readImage(): { readonly digest: string; readonly bytes: Uint8Array } {
  const [digest, ...lines] = readFileSync(IMAGE_FILE, 'utf8').trim().split(/\s+/);
  return { digest, bytes: Buffer.from(lines.join(''), 'hex') };
}
