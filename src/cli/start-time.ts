// SPDX-License-Identifier: Apache-2.0

/** Unix time at power-on, 2026-01-01: a run must not depend on the day. */
export const START_TIME = 1767225600;
