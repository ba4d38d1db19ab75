// SPDX-License-Identifier: Apache-2.0
import { I32 } from '../../wasm/encoder.ts';
import type { FunctionType } from '../../wasm/encoder.ts';
import type { Code } from '../interpreter/code.ts';
import type { RegionBlock } from './region.ts';
import type { RegionFrame, RegionLowering } from './region-lowering.ts';

/** (processor's area, depth of calls) -> LEAVE. */
export const REGION_TYPE: FunctionType = { parameters: [I32, I32], results: [I32] };

/** Indices of what a region's function calls: runtime.ts, and the type of regions. */
export interface RegionImports {
  readonly flagResult: number;
  readonly flagCarry: number;
  readonly findRegion: number;
  readonly fetches: number;
  readonly microcode: number;
  readonly helper: number;
  readonly regionType: number;
}

/** Where indirect jumps of a region find their tables. */
export interface JumpTables {
  /** Whether it is still worth saying that the jump of this record went to a place unknown. */
  learns(record: number): boolean;
  /** Address of a new table for a block's jump: 4096 bytes, each one more than the index in `targets`, or 0. 0: none left. */
  table(block: RegionBlock): number;
}

/** What the parts of a region's function are emitted through. */
export interface RegionEmitter {
  readonly code: Code;
  readonly frame: RegionFrame;
  readonly imports: RegionImports;
  readonly words: Int32Array;
  readonly lowering: RegionLowering;
  /** Takes over what the state block holds for a region. */
  enter(): void;
  /** Leaves in the state block what others must find there. */
  writeBack(): void;
  leave(leaving: number): void;
}
