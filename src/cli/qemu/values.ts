// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';

/** The value of an option, cut at commas; a doubled comma stands for one that belongs to the value. */
export function splitAtCommas(text: string): string[] {
  const parts = [''];
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== ',') parts[parts.length - 1] += text[at];
    else if (text[at + 1] === ',') parts[parts.length - 1] += text[at++];
    else parts.push('');
  }
  return parts;
}

/** "NAME,key=value,flag": the name, and the rest as keys; a key without a value is "on". */
export interface NamedValues {
  readonly name: string;
  readonly values: ReadonlyMap<string, string>;
}

/** `first` is the key of a first part that has none; without it, the first part is the name. */
export function parseNamed(text: string, first?: string): NamedValues {
  const parts = splitAtCommas(text);
  const begins = parts[0] ?? '';
  const hasName = !begins.includes('=');
  const values = new Map(parts.slice(hasName ? 1 : 0).map(keyAndValue));
  if (hasName && first !== undefined) values.set(first, begins);
  return { name: hasName ? begins : '', values };
}

function keyAndValue(part: string): [string, string] {
  const at = part.indexOf('=');
  return at < 0 ? [part, 'on'] : [part.slice(0, at), part.slice(at + 1)];
}

/** Throws UserError for a key that is not among `known`. */
export function refuseUnknownKeys(option: string, values: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const key of values.keys()) {
    if (known.includes(key)) continue;
    throw new UserError(`${option}: there is no property '${key}'`, `it has: ${known.join(', ')}`);
  }
}

export function parseSwitch(option: string, key: string, text: string): boolean {
  if (['on', 'yes', 'true', 'y'].includes(text)) return true;
  if (['off', 'no', 'false', 'n'].includes(text)) return false;
  throw new UserError(`${option}: '${key}' is on or off, not '${text}'`, `write ${key}=on or ${key}=off`);
}

/** "0xf4" or "244". */
export function parseNumber(option: string, key: string, text: string, most: number): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : NaN;
  if (value <= most) return value;
  throw new UserError(
    `${option}: '${key}' is a number up to ${most}, not '${text}'`,
    `write ${key}=NUMBER, also as 0x...`,
  );
}
