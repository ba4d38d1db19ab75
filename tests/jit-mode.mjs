// SPDX-License-Identifier: Apache-2.0

// Preloaded (`node --import ./tests/jit-mode.mjs`): machines that do not say what of their code is compiled do what
// TURTLES_TEST_JIT says: off, on, soon or eager.

import { JIT_DEFAULT } from '../src/machine/cpu/jit/jit.ts';

const MODES = ['off', 'on', 'soon', 'eager'];

const mode = process.env['TURTLES_TEST_JIT'];
if (!MODES.includes(mode)) throw new Error(`TURTLES_TEST_JIT is one of ${MODES.join(', ')}, not ${mode}`);
JIT_DEFAULT.mode = mode;
