// SPDX-License-Identifier: Apache-2.0
// Table: what may be wrong with an expression, for every table alike: a condition, an operator, a bit of a constant, the
// name of a field or a control. Works on text, by tokens; strings, comments and imports are left alone.

import { FIELDS } from '../../src/arch/vmx/fields.ts';
import { sourceText } from './builds.ts';
import { compiled } from './mutant.ts';
import type { Mutant } from './mutant.ts';

interface Token {
  readonly kind: 'number' | 'name' | 'operator';
  readonly text: string;
  readonly at: number;
}

const TOKENS =
  /\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|(?<number>\b(?:0x[\da-fA-F_]+|\d[\d_]*)n?\b)|(?<name>[A-Za-z_$#][\w$]*(?:\.[A-Z][A-Z\d_]*\b)*)|(?<operator>=>|===|!==|<<|>>>|>>|<=|>=|&&|\|\||[-+*%<>&|^~!])/g;
const FIELD_NAMES: ReadonlySet<string> = new Set(FIELDS.map(({ name }) => name));
const IMPORT = /^import [^;]*;\n/gm;

/** Operators and what is written in their place; a space on both sides makes sure that no type is meant. */
const EXCHANGED: { readonly [operator: string]: readonly string[] } = {
  '===': ['!=='],
  '!==': ['==='],
  '<': ['<='],
  '<=': ['<'],
  '>': ['>='],
  '>=': ['>'],
  '&&': ['||'],
  '||': ['&&'],
  '&': ['|'],
  '|': ['&'],
  '^': ['&'],
  '>>>': ['<<'],
  '<<': ['>>>'],
  '+': ['-'],
  '-': ['+'],
};
const WORDS: { readonly [word: string]: string } = { true: 'false', false: 'true', some: 'every', every: 'some' };
/** A constant (CR0_PE) or a member of a group of them (PRIMARY.HLT_EXITING). */
const CONSTANT = /^(?:[A-Z][A-Z\d]*\.)?[A-Z][A-Z\d]*(?:_[A-Z\d]+)*$/;

function tokens(source: string): Token[] {
  const blanked = source.replace(IMPORT, (text) => ' '.repeat(text.length));
  return [...blanked.matchAll(TOKENS)].flatMap((match) => {
    const kind = (['number', 'name', 'operator'] as const).find((each) => match.groups?.[each] !== undefined);
    return kind === undefined ? [] : [{ kind, text: match[0], at: match.index }];
  });
}

/** One bit less, another bit, or the next value. */
function numbers(text: string): string[] {
  const value = Number(text.replaceAll('_', '').replace(/n$/, ''));
  const suffix = text.endsWith('n') ? 'n' : '';
  if (!Number.isSafeInteger(value)) return [];
  if (value >= 2 ** 32) return [`${value * 2}${suffix}`];
  if (!text.startsWith('0x')) return [`${value + 1}${suffix}`];
  const lowest = (value & -value) >>> 0;
  const highest = value === 0 ? 0 : 2 ** (31 - Math.clz32(value));
  const changed = [value - lowest, value - highest, highest < 2 ** 31 ? value + 2 * highest : value];
  return [...new Set(changed)].filter((each) => each !== value).map((each) => `0x${each.toString(16)}${suffix}`);
}

/** Texts that may stand in a token's place. `before` and `after`: the characters around it. */
function alternatives({ kind, text }: Token, before: string, after: string): string[] {
  if (kind === 'number') return numbers(text);
  if (kind === 'operator') {
    if (text === '!' || text === '~') return /[\w(]/.test(after) ? [''] : [];
    return before === ' ' && after === ' ' ? [...(EXCHANGED[text] ?? [])] : [];
  }
  if (WORDS[text] !== undefined) return [WORDS[text]];
  const used = CONSTANT.test(text) && text !== 'OFFSET' && !/[[.:('`]/.test(after) && !/['`]/.test(before);
  // The next field for a field, the next bit for a bit.
  return used ? [FIELD_NAMES.has(text.replace('OFFSET.', '')) ? `(${text} ^ 8)` : `(${text} << 1)`] : [];
}

/** Removes an operand of an or of constants: a bit falls out of a set. */
function dropped(source: string, { kind, text, at }: Token): { from: number; to: number } | undefined {
  if (kind !== 'name' || !CONSTANT.test(text) || !text.includes('.')) return undefined;
  const end = at + text.length;
  const follows = /^\s*\|(?!\|)/.exec(source.slice(end));
  if (follows !== null) return { from: at, to: end + follows[0].length };
  const precedes = /(?<!\|)\|\s*$/.exec(source.slice(0, at));
  return precedes === null ? undefined : { from: precedes.index, to: end };
}

const SHOWN = 90;

/** The mutants of a source between two texts of it (from the beginning, to the end). None is the source itself once types are gone. */
export function sourceMutants(file: string, from = '', to = ''): Mutant[] {
  const source = sourceText(file);
  const [begin, end] = [source.indexOf(from), to === '' ? source.length : source.indexOf(to)];
  if (begin < 0 || end < 0) throw new Error(`${file}: not found: ${from} or ${to}`);
  const original = compiled(source);
  const mutants: Mutant[] = [];
  const seen = new Map<string, number>();
  const add = (at: number, length: number, text: string, what: string): void => {
    const changed = source.slice(0, at) + text + source.slice(at + length);
    const result = compiled(changed);
    if (result === undefined || result === original) return;
    const line = source.slice(source.lastIndexOf('\n', at) + 1, source.indexOf('\n', at)).trim();
    const id = `${line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line} :: ${what}`;
    const times = (seen.get(id) ?? 0) + 1;
    seen.set(id, times);
    mutants.push({ id: times === 1 ? id : `${id} (${times})`, file, text: changed });
  };
  for (const token of tokens(source)) {
    const { at, text } = token;
    if (at < begin || at >= end) continue;
    for (const other of alternatives(token, source[at - 1] ?? '', source[at + text.length] ?? ''))
      add(at, text.length, other, `${text} → ${other === '' ? 'nothing' : other}`);
    const gap = dropped(source, token);
    if (gap !== undefined) add(gap.from, gap.to - gap.from, '', `without ${text}`);
  }
  return mutants;
}
