// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';

const KIB = 1024;
const PAGE = 4096;
/** Memory and the engine's own tables share one 32-bit WebAssembly memory. */
export const MOST_MEMORY = 3.75 * KIB ** 3;
export const LEAST_MEMORY = 2 * KIB ** 2;

// prettier-ignore
const BINARY: Readonly<Record<string, number>> = { '': 1, k: KIB, m: KIB ** 2, g: KIB ** 3 };
// prettier-ignore
const DECIMAL: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 };

/** "512M", "1.5G", "1073741824": bytes, whole pages. `plainUnit` is what a bare number counts; `option` names it. */
export function parseMemory(text: string, option: string, plainUnit = 1): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)(?:i?b)?$/i.exec(text.trim());
  if (match === null)
    throw new UserError(`${option} ${text}: that is no size`, `write it as ${option} 512M or ${option} 1G`);
  const suffix = match[2]!.toLowerCase();
  const bytes = Number(match[1]) * (suffix === '' ? plainUnit : BINARY[suffix]!);
  if (bytes > MOST_MEMORY) {
    throw new UserError(`${option} ${text}: a machine can have 3840 MiB at most`, `give it less, such as ${option} 2G`);
  }
  if (bytes < LEAST_MEMORY) {
    throw new UserError(
      `too little memory: ${option} ${text} is less than the 2 MiB of the smallest PC`,
      `give it more, such as ${option} 256M`,
    );
  }
  return Math.floor(bytes / PAGE) * PAGE;
}

/** "1G", "250MHz", "1000000000": instructions in a virtual second. */
export function parseFrequency(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmg]?)(?:hz)?$/i.exec(text.trim());
  const hertz = match === null ? NaN : Number(match[1]) * DECIMAL[match[2]!.toLowerCase()]!;
  if (Number.isInteger(hertz) && hertz >= 1e6 && hertz <= 1e10) return hertz;
  throw new UserError(
    `${option} ${text}: that is no frequency between 1 MHz and 10 GHz`,
    `write it as ${option} 1G or ${option} 500M`,
  );
}

/** A whole number from `least` to `most`, also as 0x.... */
export function parseCount(text: string, option: string, least: number, most: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text.trim()) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  throw new UserError(
    `${option} ${text}: that is no whole number from ${least} to ${most}`,
    `give one, such as ${option} ${least}`,
  );
}

/** "1,234,567". */
export function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
