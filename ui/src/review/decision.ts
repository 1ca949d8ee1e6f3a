import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Problem } from '../api/problem';
import {
  keys,
  promotionPlanOptions,
  useApprove,
  useInbox,
  usePromotion,
  useReject,
  useRevoke,
  useStagePermissions,
} from '../api/queries';
import type { Inbox, InboxApproval, Plan, Promotion } from '../api/types';
import { sentence } from '../components/ErrorState';
import { useToast } from '../components/toast';
import { versionOf } from '../lib/freight';
import { useLiveState } from '../live/live';

/** Everything that deciding about one Promotion needs: what the server says, and the two ways to answer. */
export type Decision = ReturnType<typeof useDecision>;

/**
 * The Promotion (live), its plan (as it was when it was read), what the inbox says about the person and it, and
 * the mutations. The plan that is approved is the one in view: its hash is sent, and when the Promotion comes to
 * have another one the answer has to be given anew.
 */
export function useDecision(project: string, name: string) {
  const client = useQueryClient();
  const toast = useToast();
  const { phase } = useLiveState();
  const promotion = usePromotion(project, name);
  const isWaiting = promotion.data !== undefined && isDecidable(promotion.data);
  const plan = useQuery({ ...promotionPlanOptions(project, name), enabled: isWaiting });
  const inbox = useInbox();
  const permissions = useStagePermissions(project, promotion.data?.stage ?? '');
  const approve = useApprove(project, name);
  const reject = useReject(project, name);
  const revoke = useRevoke(project, name);
  const [comment, setComment] = useState('');
  const [isRejecting, setRejecting] = useState(false);

  const item = itemOf(inbox.data, project, name);
  const mine = myDecision(inbox.data, project, name);
  const isLive = phase === 'live' || phase === 'connecting';
  const isChanged = [approve.error, reject.error].some(isPlanChanged) || isOtherPlan(promotion.data, plan.data);

  const lookAgain = () => {
    approve.reset();
    reject.reset();
    client.invalidateQueries({ queryKey: keys.promotion(project, name) });
    return plan.refetch();
  };
  const version = promotion.data ? titleVersion(promotion.data) : '';
  const stage = promotion.data?.stage ?? '';
  const answered = (text: string) => (answer: Promotion) => {
    setComment('');
    setRejecting(false);
    // the stream brings it again in a moment, with its cursor
    client.setQueryData<Promotion>(keys.promotion(project, name), (known) => ({ ...answer, cursor: known?.cursor }));
    client.invalidateQueries({ queryKey: keys.inbox });
    toast(text);
  };
  const body = () => ({ planHash: plan.data?.planHash ?? '', ...(comment.trim() && { reason: comment.trim() }) });

  return {
    project,
    name,
    promotion,
    plan,
    isWaiting,
    isChanged,
    lookAgain,
    item,
    /** What the person decided, while it counts. */
    mine,
    comment,
    setComment,
    isRejecting,
    setRejecting,
    approve,
    reject,
    revoke,
    obstacle: whyNotNow({
      isLive,
      isAllowed: permissions?.approve ?? true,
      item,
      isInboxKnown: inbox.isSuccess,
      plan: plan.data,
      isPlanBroken: plan.isError,
      stage,
    }),
    /** Why it cannot be rejected now; who may approve for the Stage may. */
    rejectObstacle: !isLive
      ? lost
      : permissions && !permissions.approve
        ? mayNot(stage)
        : plan.data?.planHash
          ? undefined
          : 'The plan is being worked out.',
    sendApproval: () => approve.mutate(body(), { onSuccess: answered(`You approved ${version} for ${stage}.`) }),
    sendRejection: () => reject.mutate(body(), { onSuccess: answered(`You rejected ${version} for ${stage}.`) }),
    sendRevocation: () =>
      revoke.mutate(undefined, { onSuccess: answered(`What you decided about ${stage} is taken back.`) }),
  };
}

/** The version a Promotion brings: of a Rollback the one it goes back to. */
export function titleVersion(promotion: Promotion): string {
  const freight = promotion.kind === 'Rollback' ? (promotion.to ?? promotion.freight) : promotion.freight;
  return freight ? versionOf(freight) : promotion.name;
}

function itemOf(inbox: Inbox | undefined, project: string, name: string): InboxApproval | undefined {
  return inbox?.approvals.find((each) => each.project === project && each.promotion.name === name);
}

function myDecision(inbox: Inbox | undefined, project: string, name: string) {
  return inbox?.done.find((each) => each.project === project && each.promotion.name === name)?.decision;
}

function isPlanChanged(error: unknown): boolean {
  return error instanceof Problem && error.code === 'plan-changed';
}

/** Whether the Promotion has come to have another plan than the one in view since that was read. */
function isOtherPlan(promotion: Promotion | undefined, plan: Plan | undefined): boolean {
  const recorded = promotion?.planHash;
  if (!recorded || !plan?.planHash) return false;
  return recorded !== plan.planHash && recorded !== plan.promotion?.planHash;
}

const lost = 'The connection is lost and this page may show old data. It comes back by itself.';
const mayNot = (stage: string) => `You may not approve for ${stage}: that needs the verb approve on this Stage.`;

interface Moment {
  isLive: boolean;
  isAllowed: boolean;
  item: InboxApproval | undefined;
  isInboxKnown: boolean;
  plan: Plan | undefined;
  isPlanBroken: boolean;
  stage: string;
}

/** Why the plan cannot be approved now, in the server's words where it has some; undefined when it can. */
function whyNotNow({ isLive, isAllowed, item, isInboxKnown, plan, isPlanBroken, stage }: Moment): string | undefined {
  if (!isAllowed) return mayNot(stage);
  if (item?.mayNot) return sentence(item.mayNot);
  if (isInboxKnown && !item) return `Your approval is not asked for: ${stage} asks others, or nobody.`;
  if (!isLive) return lost;
  if (isPlanBroken) return 'There is no plan in view to approve.';
  if (!plan) return 'The plan is being worked out.';
  if (!plan.planHash) return plan.filesMissing ? sentence(plan.filesMissing) : 'The plan could not be worked out.';
  return undefined;
}

/** Whether people can decide about it: it has not started, or one of its steps waits for approval. */
export function isDecidable(promotion: Promotion): boolean {
  return promotion.phase === 'Pending' || (promotion.phase === 'Running' && !!promotion.approvalNeed?.step);
}
