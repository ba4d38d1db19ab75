// SPDX-License-Identifier: Apache-2.0
import type { TraceEvent } from '../trace/events.ts';
import { RunRecorder } from '../trace/recorder.ts';

/** The recorder of a run: it counts exits, and hands events to `sink` when there is one. */
export function makeRecorder(sink: ((event: TraceEvent) => void) | undefined): RunRecorder {
  return new RunRecorder(sink);
}
