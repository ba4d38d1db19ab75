// SPDX-License-Identifier: Apache-2.0
import { stronglyConnected } from './strongly-connected.ts';

/** Where a branch to a node goes: to a label, after a choice was noted if a loop has several entries. */
export interface Destination<Label> {
  readonly label: Label;
  /** What to note, and where; -1 for nothing. */
  readonly choice: number;
  readonly dispatch: number;
}

/** What turns a graph of nodes into code with structured control flow emits through. */
export interface StructuredCode<Label> {
  /** Code up to the matching `end` may branch behind it. */
  block(): Label;
  /** Code up to the matching `end` may branch back to here. */
  loop(): Label;
  end(): void;
  /** Branches to the label of the choice noted under this number. */
  dispatch(number: number, labels: readonly Label[]): void;
  node(node: number, destination: (target: number) => Destination<Label>): void;
}

/**
 * Emits all nodes, from `entry`, so that each edge is a WebAssembly branch: strongly connected components become loops,
 * the rest forward blocks in topological order. A loop with several entries gets a node at its head that dispatches.
 */
export function structure<Label>(
  successors: readonly (readonly number[])[],
  entry: number,
  out: StructuredCode<Label>,
): void {
  new Structurer(successors, out).emit(
    successors.map((_, node) => node),
    entry,
  );
}

class Structurer<Label> {
  private readonly successors: (readonly number[])[];
  private readonly out: StructuredCode<Label>;
  private readonly labels = new Map<number, Label>();
  /** Headers of loops that are open: an edge to one branches back, and orders nothing. */
  private readonly open = new Set<number>();
  /** Entries of a loop that has several: who wants there goes to the dispatching node. */
  private readonly redirected = new Map<number, { readonly node: number; readonly choice: number }>();
  private readonly firstDispatch: number;

  constructor(successors: readonly (readonly number[])[], out: StructuredCode<Label>) {
    this.successors = [...successors];
    this.firstDispatch = successors.length;
    this.out = out;
  }

  emit(nodes: readonly number[], header: number): void {
    const within = new Set(nodes);
    const edges = (node: number): readonly number[] => this.edges(node).filter((target) => within.has(target));
    const parts = stronglyConnected(header, edges).map((component) => ({
      component,
      entry: this.entry(component, within, header),
    }));
    for (const { entry } of parts.slice(1).reverse()) this.labels.set(entry, this.out.block());
    parts.forEach(({ component, entry }, i) => {
      if (i > 0) this.out.end();
      this.part(component, entry);
    });
  }

  private part(component: readonly number[], entry: number): void {
    const dispatches = entry >= this.firstDispatch && !component.includes(entry);
    if (!dispatches && component.length === 1 && !this.edges(entry).includes(entry)) return this.node(entry);
    this.labels.set(entry, this.out.loop());
    this.open.add(entry);
    this.emit(dispatches ? [entry, ...component] : component, entry);
    this.open.delete(entry);
    this.out.end();
  }

  private node(node: number): void {
    if (node < this.firstDispatch) return this.out.node(node, (target) => this.destination(target));
    const labels = this.successors[node].map((target) => this.label(target));
    this.out.dispatch(node - this.firstDispatch, labels);
  }

  private destination(target: number): Destination<Label> {
    const redirected = this.redirected.get(target);
    if (redirected === undefined) return { label: this.label(target), choice: -1, dispatch: -1 };
    const { node, choice } = redirected;
    return { label: this.label(node), choice, dispatch: node - this.firstDispatch };
  }

  private label(node: number): Label {
    const label = this.labels.get(node);
    if (label === undefined) throw new Error(`no label for node ${node}`);
    return label;
  }

  private edges(node: number): readonly number[] {
    const raw = this.successors[node];
    const targets = node < this.firstDispatch ? raw.map((target) => this.redirected.get(target)?.node ?? target) : raw;
    return targets.filter((target) => !this.open.has(target));
  }

  /** The node by which a component is entered: its own, or a new one that dispatches. */
  private entry(component: readonly number[], within: ReadonlySet<number>, header: number): number {
    if (component.length === 1) return component[0];
    const own = new Set(component);
    const entries = new Set(own.has(header) ? [header] : []);
    for (const node of within) {
      if (own.has(node)) continue;
      for (const target of this.edges(node)) if (own.has(target)) entries.add(target);
    }
    if (entries.size === 1) return [...entries][0];
    const node = this.successors.push([...entries]) - 1;
    [...entries].forEach((target, choice) => this.redirected.set(target, { node, choice }));
    return node;
  }
}
