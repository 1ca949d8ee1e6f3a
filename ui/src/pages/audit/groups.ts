import type { AuditAction } from '../../api/types';

/** What people ask an audit trail for: a name for the address, one for people, and the actions it stands for. */
export const groups = [
  {
    id: 'decisions',
    title: 'Decisions',
    actions: [
      'approve',
      'refuse',
      'revoke',
      'freeze',
      'thaw',
      'hold',
      'resume',
      'hold-healing',
      'resume-healing',
      'reject',
      'unreject',
      'accept',
    ],
  },
  { id: 'promotions', title: 'Promotions', actions: ['promote', 'rollback', 'create'] },
  { id: 'definitions', title: 'Definitions', actions: ['apply', 'delete'] },
  { id: 'cluster', title: 'Sync and drift', actions: ['sync', 'drift', 'heal'] },
] as const satisfies readonly { id: string; title: string; actions: readonly AuditAction[] }[];

/** One of the groups. */
export type GroupID = (typeof groups)[number]['id'];

/** The actions of a group; none of them means every action. */
export function actionsOf(id: GroupID | undefined): readonly AuditAction[] {
  return groups.find((group) => group.id === id)?.actions ?? [];
}
