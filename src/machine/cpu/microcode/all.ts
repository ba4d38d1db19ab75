// SPDX-License-Identifier: Apache-2.0
import type { MicrocodeRoutines } from './microcode.ts';
import { STRING_MICROCODE } from './strings.ts';

/** Every routine there is; later sets win where two name the same instruction. */
export const MICROCODE: readonly MicrocodeRoutines[] = [STRING_MICROCODE];
