// SPDX-License-Identifier: Apache-2.0
// The assembled L1 and L2, as text that is kept with its sources, so that the test needs no assembler.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** An L1 in assembler: all sources of its folder, and what they are assembled to. */
export interface ImageSource {
  readonly folder: string;
  readonly source: string;
  readonly hex: string;
  /** The source includes names of scripted/layout.ts. */
  readonly scripted: boolean;
}

const here = import.meta.dirname;
export const IMAGES = {
  l1: { folder: here, source: 'l1.asm', hex: 'l1.hex', scripted: false },
  scripted: { folder: join(here, 'scripted'), source: 'scripted.asm', hex: 'scripted.hex', scripted: true },
} as const satisfies Record<string, ImageSource>;
const BYTES_OF_A_LINE = 48;

/** SHA-256 of the assembler sources (and of the layout that they are assembled with), names included. */
export function sourcesDigest({ folder }: ImageSource): string {
  const hash = createHash('sha256');
  const names = readdirSync(folder).filter((name) => /\.(asm|inc)$|^layout\.ts$/.test(name));
  for (const name of names.sort()) {
    const text = readFileSync(join(folder, name), 'utf8');
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
export function readImage({ folder, hex }: ImageSource): { readonly digest: string; readonly bytes: Uint8Array } {
  const [digest, ...lines] = readFileSync(join(folder, hex), 'utf8').trim().split(/\s+/);
  return { digest, bytes: Buffer.from(lines.join(''), 'hex') };
}
