// SPDX-License-Identifier: Apache-2.0
import { FloatEnvironment } from '../softfloat/environment.ts';
import { BINARY32, BINARY64, unpack, zero } from '../softfloat/format.ts';
import type { Format, Unpacked } from '../softfloat/format.ts';
import { isOrdinary, loadEnvironment, reportedFlags, unmasked } from './mxcsr.ts';

/** Where an instruction's result goes; `flags` is ZF, PF and CF. */
export type SseDestination = 'xmm' | 'mmx' | 'general' | 'flags';

/**
 * One row of the table. `run` reads operands at byte offsets in the unit's buffer and writes the result with `put...`;
 * `unit.env` collects the exceptions.
 */
export interface SseFloatInstruction {
  readonly mnemonic: string;
  /** Bytes that a memory source has. */
  readonly sourceBytes: number;
  readonly destination: SseDestination;
  readonly run: (unit: SseFloatUnit, destination: number, source: number, immediate: number) => void;
  /**
   * True if it did the whole instruction because no exception flag could change. Tried first, and only it is allowed to write
   * directly: it writes nothing unless it returns true.
   */
  readonly fast?: (unit: SseFloatUnit, destination: number, source: number, immediate: number) => boolean;
}

/**
 * Executes floating-point SSE instructions over operands that lie in one buffer, at byte offsets that are multiples of 8:
 * XMM, MMX and general registers of a state block, or scratch into which a memory operand was loaded.
 */
export class SseFloatUnit {
  readonly view: DataView;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly i32: Int32Array;
  readonly env: FloatEnvironment = new FloatEnvironment('first-operand');
  /** Out: MXCSR after the instruction, also when it faulted. */
  mxcsr = 0;
  /** Out: ZF (bit 6), PF (2) and CF (0) of the last comparison with destination `flags`; OF, AF and SF are then 0. */
  eflags = 0;
  /** Whether `isOrdinary` holds: the fast paths of rounding operations ask. */
  ordinary = false;

  /** The result, held back until it is known that no exception is unmasked. */
  readonly #result: DataView = new DataView(new ArrayBuffer(16));
  #written = 0;
  /** Flags of finished steps. */
  #earlier = 0;

  constructor(buffer: ArrayBufferLike) {
    this.view = new DataView(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i32 = new Int32Array(buffer);
  }

  /**
   * Runs one instruction; `destination` and `source` are byte offsets. Gives true for an unmasked exception (#XM, or #UD without
   * CR4.OSXMMEXCPT): then the destination is unchanged. `mxcsr` of the unit is the new value either way.
   */
  execute(
    instruction: SseFloatInstruction,
    destination: number,
    source: number,
    immediate: number,
    mxcsr: number,
  ): boolean {
    this.mxcsr = mxcsr;
    this.ordinary = isOrdinary(mxcsr);
    if (instruction.fast !== undefined && instruction.fast(this, destination, source, immediate)) return false;
    loadEnvironment(this.env, mxcsr);
    this.#written = 0;
    this.#earlier = 0;
    instruction.run(this, destination, source, immediate);
    this.mxcsr = mxcsr | this.#earlier | reportedFlags(this.env);
    if (unmasked(this.env) !== 0) return true;
    for (let n = 0; n < this.#written; n += 4)
      this.view.setUint32(destination + n, this.#result.getUint32(n, true), true);
    return false;
  }

  /**
   * Ends one of several dependent steps of an instruction (DPPS). Its flags stay whatever a later step raises. False if it raised an
   * unmasked exception: then no further step is to be taken.
   */
  endStep(): boolean {
    if (unmasked(this.env) !== 0) return false;
    this.#earlier |= this.env.flags;
    this.env.flags = 0;
    return true;
  }

  /** Element `lane` of an operand, as its encoding. */
  bits(offset: number, lane: number, format: Format): bigint {
    if (format === BINARY32) return BigInt(this.view.getUint32(offset + lane * 4, true));
    return this.view.getBigUint64(offset + lane * 8, true);
  }

  /** Element `lane` of an operand; a denormal is a zero under MXCSR.DAZ. */
  element(offset: number, lane: number, format: Format): Unpacked {
    return this.unpack(this.bits(offset, lane, format), format);
  }

  unpack(bits: bigint, format: Format): Unpacked {
    const value = unpack(bits, format);
    return value.denormal && this.env.denormalsAreZero ? zero(value.sign) : value;
  }

  /** Puts element `lane` of the result. What is not put up to the highest byte put must be put first by `keep`. */
  put(lane: number, format: Format, bits: bigint): void {
    if (format === BINARY32) this.put32(lane, Number(bits));
    else this.put64(lane, bits);
  }

  put32(lane: number, value: number): void {
    this.#result.setUint32(lane * 4, value, true);
    this.#written = Math.max(this.#written, lane * 4 + 4);
  }

  put64(lane: number, value: bigint): void {
    this.#result.setBigUint64(lane * 8, value, true);
    this.#written = Math.max(this.#written, lane * 8 + 8);
  }
}

/** Elements that an instruction with this suffix works on. */
// prettier-ignore
export const SHAPES = [
  { suffix: 'PS', format: BINARY32, lanes: 4, bytes: 16 },
  { suffix: 'PD', format: BINARY64, lanes: 2, bytes: 16 },
  { suffix: 'SS', format: BINARY32, lanes: 1, bytes: 4 },
  { suffix: 'SD', format: BINARY64, lanes: 1, bytes: 8 },
] as const;

export const PACKED_SHAPES = SHAPES.slice(0, 2);
export type Shape = (typeof SHAPES)[number];

/** The smallest normal and the largest finite value. */
export const NORMAL32 = { least: 2 ** -126, most: (2 - 2 ** -23) * 2 ** 127 } as const;
export const NORMAL64 = { least: 2 ** -1022, most: Number.MAX_VALUE } as const;

/** Neither denormal, infinite nor a NaN. */
export function isPlain(value: number, range: { readonly least: number; readonly most: number }): boolean {
  const magnitude = Math.abs(value);
  return (magnitude >= range.least && magnitude <= range.most) || value === 0;
}
