// SPDX-License-Identifier: Apache-2.0
import type { GuestDescription, Milestone } from './descriptions.ts';

/** Which milestones a run has passed, from the lines of its consoles. */
export class Milestones {
  readonly description: GuestDescription;
  readonly #passed = new Set<Milestone>();

  constructor(description: GuestDescription) {
    this.description = description;
  }

  /** A complete line on console number `console`. */
  line(console: number, line: string): void {
    for (const milestone of this.description.milestones) {
      if (milestone.console === console && line.includes(milestone.marker)) this.#passed.add(milestone);
    }
  }

  passed(milestone: Milestone): boolean {
    return this.#passed.has(milestone);
  }

  /** The first that is missing. */
  get missing(): Milestone | undefined {
    return this.description.milestones.find((milestone) => !this.#passed.has(milestone));
  }
}

/** Which level stopped, and where. */
export interface Stop {
  /** Index into the levels. */
  readonly console: number;
  /** "L2 did not pass its self-check". */
  readonly says: string;
}

/** Undefined when all milestones are passed. */
export function findStop(milestones: Milestones): Stop | undefined {
  const { missing, description } = milestones;
  if (missing === undefined) return undefined;
  return { console: missing.console, says: `${description.levels[missing.console]!.name} did not ${missing.means}` };
}
