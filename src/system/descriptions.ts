// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { hypervisorGuest, MARKERS, plainGuest } from '../images/recipes.ts';
import type { DebianChoice } from '../images/recipes.ts';
import type { Recipe } from '../images/recipe.ts';

/** The console of one level. Its index in the description is the number of its serial port. */
export interface LevelDescription {
  /** "L1" */
  readonly name: string;
  readonly level: number;
  /** SGR parameters of the colour of its lines; '' for the terminal's own. */
  readonly colour: string;
}

/** A line on a level's console that says how far it got. */
export interface Milestone {
  /** Index into the levels. */
  readonly console: number;
  readonly marker: string;
  /** "L1 ..." did not do what? For people. */
  readonly means: string;
}

/** What `turtles run` can be asked for by name. */
export interface GuestDescription {
  readonly name: string;
  readonly says: string;
  readonly recipe: (choice?: DebianChoice) => Recipe;
  readonly levels: readonly LevelDescription[];
  /** L1 needs VT-x of its own. */
  readonly runsHypervisor: boolean;
  /** Index of the level whose console the terminal is joined to. */
  readonly interactive: number;
  readonly memory: string;
  /** With less, a level runs out of memory on its way: measured. The loader knows what the outermost kernel needs. */
  readonly leastMemory?: string;
  /** In the order in which a run with the self-check reaches them: the first one missing names the level that stopped. */
  readonly milestones: readonly Milestone[];
}

const L1: LevelDescription = { name: 'L1', level: 1, colour: '36' };
const L2: LevelDescription = { name: 'L2', level: 2, colour: '' };

export const DEFAULT_DESCRIPTION = 'main';

// prettier-ignore
export const DESCRIPTIONS: readonly GuestDescription[] = [
  {
    name: 'main',
    says: 'L1: Debian with KVM and QEMU; L2: the same Debian kernel, to a shell',
    recipe: (choice) => hypervisorGuest(choice),
    levels: [L1, L2],
    runsHypervisor: true,
    interactive: 1,
    memory: '1G',
    leastMemory: '320M',
    milestones: [
      { console: 0, marker: MARKERS.hypervisorUp,            means: 'boot to its first process' },
      { console: 0, marker: MARKERS.startingInnerGuest,      means: 'load KVM and start QEMU' },
      { console: 1, marker: MARKERS.selfCheckBegins,         means: 'boot to its first process' },
      { console: 1, marker: MARKERS.selfCheckPassed,         means: 'pass its self-check' },
      { console: 1, marker: MARKERS.poweringOff,             means: 'get as far as powering off' },
      { console: 0, marker: `${MARKERS.innerGuestEnded}0`,   means: "see its QEMU end with status 0" },
      { console: 0, marker: MARKERS.poweringOff,             means: 'get as far as powering off' },
    ],
  },
  {
    name: 'linux',
    says: 'one Debian guest on the machine, with a shell and no hypervisor in it',
    recipe: (choice) => plainGuest(choice),
    levels: [{ ...L1, colour: '' }],
    runsHypervisor: false,
    interactive: 0,
    memory: '256M',
    milestones: [
      { console: 0, marker: MARKERS.selfCheckBegins,         means: 'boot to its first process' },
      { console: 0, marker: MARKERS.selfCheckPassed,         means: 'pass its self-check' },
      { console: 0, marker: MARKERS.poweringOff,             means: 'get as far as powering off' },
    ],
  },
];

export function findDescription(name: string): GuestDescription {
  const found = DESCRIPTIONS.find((description) => description.name === name);
  if (found !== undefined) return found;
  const names = DESCRIPTIONS.map((description) => description.name).join(', ');
  throw new UserError(
    `there is no description named ${name}`,
    `choose one of: ${names}; your own kernel goes with --kernel FILE`,
  );
}
