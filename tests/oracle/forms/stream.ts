// SPDX-License-Identifier: Apache-2.0

import { formsOf } from '../form.ts';

/** Whole programs instead of single instructions: stream.ts makes them. */
export const STREAM_FORMS = formsOf('stream', [['stream', 'any', { stream: true }]]);
