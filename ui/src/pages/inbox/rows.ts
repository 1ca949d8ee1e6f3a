import type { Inbox, InboxApproval, Promotion, StatusWord } from '../../api/types';
import { statusOfPhase } from '../../components/status';
import { personName, versionOf } from '../../lib/freight';
import type { InboxSearch } from '../../lib/search';
import { titleVersion } from '../../review/decision';

/** A line of the inbox. */
export interface InboxRow {
  /** In the address: what is open. */
  key: string;
  kind: 'approval' | 'failed' | 'drift';
  status: StatusWord;
  project: string;
  /** Between project and Stage: "to", "back in", "/". */
  joint: string;
  stage: string;
  promotion: string | undefined;
  sentence: string;
  who: string | undefined;
  /** Behind the person: why one may not decide, what one has decided. */
  note: string | undefined;
  at: string | undefined;
  /** More, for the right side. */
  lines: string[];
}

export interface InboxGroup {
  title: string;
  rows: InboxRow[];
}

/** The inbox in the groups of the page, filtered by what the address says. The order is the server's. */
export function inboxGroups(inbox: Inbox, search: InboxSearch): InboxGroup[] {
  const groups =
    search.state === 'done'
      ? [{ title: 'Decided by you', rows: inbox.done.map(approvalRow) }]
      : [
          { title: 'Needs your approval', rows: inbox.approvals.map(approvalRow) },
          { title: 'Failed, you started it', rows: inbox.failed.map(({ promotion }) => failedRow(promotion)) },
          { title: 'Differs from Git on your stages', rows: inbox.drifted.map(driftRow) },
        ];
  const wanted = search.q?.toLowerCase();
  if (!wanted) return groups;
  const matches = (row: InboxRow) =>
    [row.project, row.stage, row.sentence, row.who ?? ''].join(' ').toLowerCase().includes(wanted);
  return groups.map(({ title, rows }) => ({ title, rows: rows.filter(matches) }));
}

/** What is to be done: the number at the Inbox in the navigation. */
export function toDo(inbox: Inbox | undefined): number {
  if (!inbox) return 0;
  return inbox.approvals.filter((each) => each.mayDecide).length + inbox.failed.length + inbox.drifted.length;
}

function approvalRow({ project, promotion, mayNot, decision }: InboxApproval): InboxRow {
  const counts = decision?.standing === 'counts';
  const decided = decision && `you ${decision.decision === 'Reject' ? 'rejected' : 'approved'} it`;
  return {
    key: `${project}/${promotion.name}`,
    kind: 'approval',
    status: statusOfPhase[promotion.phase],
    project,
    joint: promotion.kind === 'Rollback' ? 'back in' : 'to',
    stage: promotion.stage,
    promotion: promotion.name,
    sentence: change(promotion),
    who: asker(promotion),
    note: decided ? (counts || promotion.finished ? decided : `${decided}, for another plan`) : mayNot,
    at: decision?.createdAt ?? promotion.createdAt,
    lines: [],
  };
}

function failedRow(promotion: Promotion): InboxRow {
  return {
    key: `${promotion.project}/${promotion.name}`,
    kind: 'failed',
    status: 'Failed',
    project: promotion.project,
    joint: 'to',
    stage: promotion.stage,
    promotion: undefined,
    sentence: `${titleVersion(promotion)} failed${promotion.message ? `: ${promotion.message}` : ''}`,
    who: asker(promotion),
    note: undefined,
    at: promotion.finishedAt ?? promotion.createdAt,
    lines: promotion.steps
      .filter((step) => step.state === 'Failed')
      .map((step) => `${step.uses}: ${step.message ?? 'failed'}`),
  };
}

function driftRow({ project, stage, sentence, drifts }: Inbox['drifted'][number]): InboxRow {
  const newest = drifts
    .map(({ at }) => at)
    .sort()
    .at(-1);
  return {
    key: `${project}/${stage}`,
    kind: 'drift',
    status: 'Drifted',
    project,
    joint: '/',
    stage,
    promotion: undefined,
    sentence,
    who: undefined,
    note: undefined,
    at: newest,
    lines: drifts.map(
      ({ kind, name, field, want, got, manager }) =>
        `${kind}/${name} ${field ?? ''}: ${want ?? 'absent'} → ${got ?? 'absent'}${manager ? ` by ${manager}` : ''}`,
    ),
  };
}

function asker(promotion: Promotion): string {
  return promotion.automatic ? 'waybill' : personName(promotion.requestedBy) || 'nobody known';
}

/** "2.13.4 → 2.14.0. Why it was asked for" */
function change(promotion: Promotion): string {
  const from = promotion.from?.[0];
  const versions = [from && versionOf(from), titleVersion(promotion)].filter(Boolean).join(' → ');
  return promotion.requestReason ? `${versions}. ${promotion.requestReason}` : versions;
}
