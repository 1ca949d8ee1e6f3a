import type { Drift, ObjectEvent, ResourceNode } from '../../api/types';

/** One object with what it owns, as it is drawn. */
export interface Branch {
  /** Names the object in the address: KIND.NAMESPACE.NAME, which also what does not exist has. */
  key: string;
  node: ResourceNode;
  /** Fields that differ from Git and were not taken back. */
  drifted: string[];
  children: Branch[];
}

export function keyOf(object: { group?: string; kind: string; namespace?: string; name: string }): string {
  return [object.group ?? '', object.kind, object.namespace ?? '', object.name].join('/');
}

/** Turns the API's list into a tree. What has an owner that is not in the list stands at the top. */
export function grow(nodes: ResourceNode[], drifts: Drift[]): Branch[] {
  const drifted = new Map<string, string[]>();
  for (const drift of drifts) {
    if (/^healed$/i.test(drift.action)) continue;
    const key = keyOf(drift);
    const fields = drifted.get(key) ?? [];
    const field = drift.field ?? 'the object itself';
    if (!fields.includes(field)) drifted.set(key, [...fields, field]);
  }
  const branches = nodes.map((node) => ({
    key: keyOf(node),
    node,
    drifted: drifted.get(keyOf(node)) ?? [],
    children: [] as Branch[],
  }));
  const byUID = new Map(branches.map((branch) => [branch.node.uid, branch]));
  const top: Branch[] = [];
  for (const branch of branches) {
    const owner = branch.node.parent ? byUID.get(branch.node.parent) : undefined;
    (owner && owner !== branch ? owner.children : top).push(branch);
  }
  return top;
}

/** The branch with this key, or undefined. */
export function find(branches: Branch[], key: string | undefined): Branch | undefined {
  for (const branch of branches) {
    if (branch.key === key) return branch;
    const below = find(branch.children, key);
    if (below) return below;
  }
  return undefined;
}

/** The object and everything below it. */
export function flat(branch: Branch): Branch[] {
  return [branch, ...branch.children.flatMap(flat)];
}

/** Whether there is a container below, so that there may be something to read. */
export function hasLogs(branch: Branch): boolean {
  return flat(branch).some(({ node }) => (node.containers?.length ?? 0) > 0);
}

/** The events about an object and what it owns; all of them without one. */
export function eventsOf(events: ObjectEvent[], branch: Branch | undefined): ObjectEvent[] {
  if (!branch) return events;
  const keys = new Set(flat(branch).map(({ key }) => key));
  return events.filter((event) => keys.has(keyOf(event)));
}
