// SPDX-License-Identifier: Apache-2.0
import type { Access, Paging } from './reference.ts';

/**
 * Cases of one dimension by number: every combination of P, R/W, U/S and XD at each level, page sizes, CR0.WP, EFER.NXE,
 * CR4.SMEP, CR4.SMAP, CR4.PSE, kinds of access. What the manual says is ignored is random, and so are the accessed and
 * dirty flags.
 */

export type Kind = '32-bit' | 'PAE' | '4-level';

/** Tables from the root down to the one that maps the page, as entries without their addresses. */
export interface Case {
  readonly kind: Kind;
  /** log2 of the page's size. */
  readonly pageShift: 12 | 21 | 22 | 30;
  /** Flags of the entry at each level from the root; bit 63 is XD. No addresses. */
  readonly entries: readonly bigint[];
  readonly paging: Omit<Paging, 'cr3' | 'pdptes'>;
  readonly what: Access['what'];
  readonly by: Access['by'];
}

/** xorshift32: the same numbers for the same seed. */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }
  bits(count: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % 2 ** count;
  }
  below(limit: number): number {
    return this.bits(32) % limit;
  }
}

interface Shape {
  readonly kind: Kind;
  readonly pageShift: Case['pageShift'];
  readonly levels: number;
}

// prettier-ignore
export const SHAPES: readonly Shape[] = [
  { kind: '4-level', pageShift: 12, levels: 4 },
  { kind: '4-level', pageShift: 21, levels: 3 },
  { kind: '4-level', pageShift: 30, levels: 2 },
  { kind: 'PAE',     pageShift: 12, levels: 2 },
  { kind: 'PAE',     pageShift: 21, levels: 1 },
  { kind: '32-bit',  pageShift: 12, levels: 2 },
  { kind: '32-bit',  pageShift: 22, levels: 1 },
];

export const WHAT = ['read', 'write', 'fetch'] as const;
export const BY = ['user', 'supervisor', 'supervisor AC', 'implicit'] as const;
/** WP, NXE, SMEP, SMAP, and PSE (in 4-level paging, where it means nothing: 1-GByte pages in CPUID). */
const MODES = 32;

/** Rights that a level can have: R/W, U/S and, in wide entries, XD; and one more, not present, whatever the others are. */
const rightsOf = (shape: Shape): number => (shape.kind === '32-bit' ? 5 : 9);
/** Combinations of a shape. */
export function countOf(shape: Shape): number {
  return rightsOf(shape) ** shape.levels * MODES * WHAT.length * BY.length;
}
export const CASES = SHAPES.reduce((sum, shape) => sum + countOf(shape), 0);

/** Case number `index`, below CASES. `random` gives what does not matter, or only to flags. */
export function caseAt(index: number, random: Random): Case {
  let rest = index;
  for (const shape of SHAPES) {
    if (rest < countOf(shape)) return shapeCase(shape, rest, random);
    rest -= countOf(shape);
  }
  throw new RangeError(`there are ${CASES} cases`);
}

function shapeCase(shape: Shape, index: number, random: Random): Case {
  let rest = index;
  const take = (count: number): number => {
    const value = rest % count;
    rest = Math.floor(rest / count);
    return value;
  };
  const what = WHAT[take(WHAT.length)];
  const by = BY[take(BY.length)];
  const paging = modeOf(shape.kind, take(MODES));
  const entries = Array.from({ length: shape.levels }, (_, n) =>
    entryOf(take(rightsOf(shape)), n === shape.levels - 1, shape, random),
  );
  return { kind: shape.kind, pageShift: shape.pageShift, entries, paging, what, by };
}

function modeOf(kind: Kind, bits: number): Case['paging'] {
  const has = (n: number): boolean => ((bits >> n) & 1) === 1;
  return {
    kind,
    WP: has(0),
    NXE: has(1),
    SMEP: has(2),
    SMAP: has(3),
    PSE: has(4),
    page1GB: kind !== '4-level' || has(4),
  };
}

/** PWT, PCD, A, D, G, ignored bits 11:9; the PAT bit of large pages; in long mode ignored bits 62:52. */
function entryOf(chosen: number, leaf: boolean, shape: Shape, random: Random): bigint {
  const present = chosen < rightsOf(shape) - 1;
  const rights = present ? chosen : random.bits(shape.kind === '32-bit' ? 2 : 3);
  const low = (present ? 1n : 0n) | BigInt((rights & 3) << 1) | (BigInt(random.bits(32)) & 0xf78n);
  const page = leaf && shape.pageShift > 12 ? 0x80n | BigInt(random.bits(1) << 12) : 0n;
  const pat = leaf && shape.pageShift === 12 ? BigInt(random.bits(1)) << 7n : 0n;
  const high = shape.kind === '4-level' ? BigInt(random.bits(11)) << 52n : 0n;
  return low | page | pat | high | (BigInt(rights >> 2) << 63n);
}

/** Every bit of every entry of sound tables turned over, for all accesses and with NXE on and off. */
export function* flippedBits(random: Random): Generator<Case> {
  for (const shape of SHAPES) {
    for (let level = 0; level < shape.levels; level++) {
      for (let bit = 0; bit < (shape.kind === '32-bit' ? 32 : 64); bit++) {
        for (let mode = 0; mode < 16; mode++) {
          const number = (mode & 1 ? 0b10011 : 0b10001) & (mode & 2 ? ~0 : ~0b10000);
          const entries = Array.from({ length: shape.levels }, (_, n) => {
            const entry = entryOf(3, n === shape.levels - 1, shape, random);
            return n === level ? entry ^ (1n << BigInt(bit)) : entry;
          });
          const [what, by] = [WHAT[random.below(3)], BY[mode >> 2]];
          yield { kind: shape.kind, pageShift: shape.pageShift, entries, paging: modeOf(shape.kind, number), what, by };
        }
      }
    }
  }
}
