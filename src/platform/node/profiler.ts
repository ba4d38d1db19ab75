// SPDX-License-Identifier: Apache-2.0
import type { Session } from 'node:inspector';

/** Where the main thread was, by samples: one entry for each function and the file it was called from. */
export interface ProfiledFunction {
  /** V8's name; with parentheses what is no function: '(garbage collector)'. */
  readonly name: string;
  /** Ours relative to src/, others as URL; '' for the host's own functions, which are no code of any file. */
  readonly file: string;
  /** The nearest file in the stack: `file`, or who called the host's function; '' when there is none. */
  readonly caller: string;
  readonly microseconds: number;
}

/** Processor seconds of a stretch of the process's life, and where the main thread spent its part. */
export interface Profile {
  /** Of the whole process, before the profile began. */
  readonly before: number;
  readonly mainThread: number;
  /** Compilers, garbage collection, and the profiler itself. */
  readonly otherThreads: number;
  readonly functions: readonly ProfiledFunction[];
}

/** What of V8's profile is used; times in microseconds. */
export interface Samples {
  readonly nodes: readonly CallNode[];
  /** Ids of nodes, and the time since the sample before. */
  readonly samples?: readonly number[] | undefined;
  readonly timeDeltas?: readonly number[] | undefined;
}

/** A function, called in one way. Nodes are a tree, each before what it calls. */
export interface CallNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[] | undefined;
}

const SOURCES = new URL('../../', import.meta.url).href;
const IDLE = '(idle)';

const seconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1e6;

/** Begins to sample this thread, a thousand times a second; the function that is returned ends that, once. */
export async function startProfile(): Promise<() => Profile> {
  const { Session: NodeSession } = await import('node:inspector');
  const session: Session = new NodeSession();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.start');
  const main = process.threadCpuUsage();
  const all = process.cpuUsage();
  return () => {
    const mainThread = seconds(process.threadCpuUsage(main));
    const otherThreads = Math.max(0, seconds(process.cpuUsage(all)) - mainThread);
    return { before: seconds(all), mainThread, otherThreads, functions: functionsOf(stop(session)) };
  };
}

/** A session with the own thread answers before `post` returns. */
function stop(session: Session): Samples {
  let profile: Samples | undefined;
  session.post('Profiler.stop', (error, answer) => {
    if (error !== null) throw error;
    profile = answer.profile;
  });
  session.disconnect();
  if (profile === undefined) throw new Error('the profiler gave no profile');
  return profile;
}

/** Sums samples by function; what slept took no processor time. */
export function functionsOf({ nodes, samples = [], timeDeltas = [] }: Samples): ProfiledFunction[] {
  const places = placesOf(nodes);
  const sums = new Map<string, ProfiledFunction>();
  samples.forEach((id, i) => {
    const place = places.get(id);
    if (place === undefined || place.name === IDLE) return;
    const key = `${place.name}\n${place.file}\n${place.caller}`;
    sums.set(key, { ...place, microseconds: (sums.get(key)?.microseconds ?? 0) + timeDeltas[i]! });
  });
  return [...sums.values()];
}

type Place = Omit<ProfiledFunction, 'microseconds'>;

function placesOf(nodes: readonly CallNode[]): Map<number, Place> {
  const callers = new Map<number, number>();
  const places = new Map<number, Place>();
  for (const { id, callFrame, children = [] } of nodes) {
    for (const child of children) callers.set(child, id);
    const file = relative(callFrame.url);
    const caller = file === '' ? (places.get(callers.get(id) ?? -1)?.caller ?? '') : file;
    places.set(id, { name: callFrame.functionName, file, caller });
  }
  return places;
}

const relative = (url: string): string => (url.startsWith(SOURCES) ? url.slice(SOURCES.length) : url);
