// SPDX-License-Identifier: Apache-2.0

/**
 * Strongly connected components of what is reached from `entry`, in topological order.
 * See: Tarjan, Depth-first search and linear graph algorithms (1972).
 */
export function stronglyConnected(entry: number, edges: (node: number) => readonly number[]): number[][] {
  const index = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const found: number[][] = [];
  const visit = (node: number): number => {
    let lowest = index.size;
    const own = lowest;
    index.set(node, own);
    stack.push(node);
    onStack.add(node);
    for (const target of edges(node)) {
      if (!index.has(target)) lowest = Math.min(lowest, visit(target));
      else if (onStack.has(target)) lowest = Math.min(lowest, index.get(target) ?? own);
    }
    if (lowest === own) found.push(popUntil(stack, onStack, node));
    return lowest;
  };
  visit(entry);
  return found.reverse();
}

function popUntil(stack: number[], onStack: Set<number>, node: number): number[] {
  const component: number[] = [];
  for (;;) {
    const top = stack.pop() ?? node;
    onStack.delete(top);
    component.push(top);
    if (top === node) return component;
  }
}
