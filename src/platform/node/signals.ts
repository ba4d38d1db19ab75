// SPDX-License-Identifier: Apache-2.0

/** The signals that ask us to end, with their numbers. See: signal(7). */
// prettier-ignore
const TERMINATION_SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

export type TerminationSignal = keyof typeof TERMINATION_SIGNALS;

/** What we use of a process: the real one, or a test's. */
export interface ProcessSignals {
  on(event: TerminationSignal | 'exit', listener: () => void): unknown;
  off(event: TerminationSignal | 'exit', listener: () => void): unknown;
  exit(status: number): unknown;
}

/**
 * Ends the process with 128 + n on signal n, after its 'exit' listeners have run. Node ends by the signal itself
 * otherwise, without calling them. Returns how to take it back.
 */
export function exitOnSignals(target: ProcessSignals = process): () => void {
  const listeners = Object.entries(TERMINATION_SIGNALS).map(([signal, number]) => {
    const listener = () => void target.exit(128 + number);
    target.on(signal as TerminationSignal, listener);
    return () => target.off(signal as TerminationSignal, listener);
  });
  return () => listeners.forEach((remove) => remove());
}

/** Runs `restore` once: when called back, or when the process ends by exit, by error, or by a signal of the above. */
export function restoredAtExit(restore: () => void, target: ProcessSignals = process): () => void {
  let pending = true;
  const once = () => {
    if (!pending) return;
    pending = false;
    target.off('exit', once);
    restore();
  };
  target.on('exit', once);
  return once;
}
