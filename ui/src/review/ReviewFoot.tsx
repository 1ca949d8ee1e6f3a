import { Button, TextInput } from '@mantine/core';
import { type FormEvent, useEffect, useId, useRef } from 'react';
import { Problem } from '../api/problem';
import { useSession } from '../api/session';
import { Avatar } from '../components/Avatar';
import { When } from '../components/When';
import { Failure } from '../dialogs/Note';
import type { Decision } from './decision';
import classes from './Review.module.css';

export interface ReviewFootProps {
  decision: Decision;
}

/**
 * The answer, always in view: a comment, Reject… and Approve. When the plan changes under one's eyes the button
 * says so and shows the new plan instead of sending anything.
 */
export function ReviewFoot({ decision }: ReviewFootProps) {
  const { data: session } = useSession();
  const obstacleId = useId();
  const field = useRef<HTMLInputElement>(null);
  const { isRejecting, isChanged, comment, mine, isWaiting } = decision;

  useEffect(() => {
    if (isRejecting) field.current?.focus();
  }, [isRejecting]);

  if (!isWaiting) return null;
  if (mine) return <Decided decision={decision} />;

  const obstacle = isRejecting ? decision.rejectObstacle : decision.obstacle;
  const isReasonMissing = isRejecting && comment.trim() === '';
  const cannot = !isChanged && (obstacle !== undefined || isReasonMissing);
  const isBusy = decision.approve.isPending || decision.reject.isPending || decision.plan.isFetching;
  const error = [decision.approve.error, decision.reject.error].find(
    (each) => each && !(each instanceof Problem && each.code === 'plan-changed'),
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isBusy) return;
    if (isChanged) decision.lookAgain();
    else if (cannot) return;
    else if (isRejecting) decision.sendRejection();
    else decision.sendApproval();
  };
  return (
    <form
      className={classes.foot}
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && !event.metaKey && !event.ctrlKey && event.target === field.current) {
          event.preventDefault(); // a comment is finished by the button or by the chord, not by accident
        }
      }}
    >
      {error && (
        <div style={{ marginBottom: 12 }}>
          <Failure error={error} />
        </div>
      )}
      {isChanged && (
        <p className={classes.obstacle} role="alert" style={{ paddingTop: 0, paddingBottom: 10 }}>
          The plan has changed since you opened it. Nothing was sent.
        </p>
      )}
      <div className={classes.act}>
        <span className={classes.avatar}>
          <Avatar name={session?.name ?? ''} />
        </span>
        <TextInput
          ref={field}
          className={classes.grow}
          aria-label={isRejecting ? 'Reason' : 'Comment'}
          placeholder={isRejecting ? 'Why not? (required)' : 'Comment (optional)'}
          maxLength={1024}
          value={comment}
          onChange={(event) => decision.setComment(event.currentTarget.value)}
        />
        {isRejecting ? (
          <Button data-size="md" onClick={() => decision.setRejecting(false)}>
            Back
          </Button>
        ) : (
          <Button data-size="md" onClick={() => decision.setRejecting(true)} data-action="reject">
            Reject…
          </Button>
        )}
        <Button
          data-size="md"
          type="submit"
          variant="filled"
          data-action="approve"
          loading={isBusy}
          disabled={cannot}
          aria-describedby={obstacle ? obstacleId : undefined}
        >
          {isChanged ? 'Changed, review again' : isRejecting ? 'Reject' : 'Approve'}
          <span className={classes.key} aria-hidden="true">
            {isMac() ? '⌘↵' : 'Ctrl ↵'}
          </span>
        </Button>
      </div>
      {!isChanged && (obstacle || isReasonMissing) && (
        <p className={classes.obstacle} id={obstacleId}>
          {obstacle ?? 'A rejection needs a reason; it ends this promotion.'}
        </p>
      )}
    </form>
  );
}

/** What the person decided already, and the way to take it back. */
function Decided({ decision: { mine, revoke, sendRevocation } }: ReviewFootProps) {
  if (!mine) return null;
  return (
    <div className={classes.foot}>
      {revoke.isError && (
        <div style={{ marginBottom: 12 }}>
          <Failure error={revoke.error} />
        </div>
      )}
      <div className={classes.standing}>
        <span>
          You {mine.decision === 'Reject' ? 'rejected' : 'approved'} this <When at={mine.createdAt} suffix=" ago" />
          {mine.reason && `: ${mine.reason}`}
        </span>
        <span className={classes.push}>
          <Button data-size="md" loading={revoke.isPending} onClick={sendRevocation}>
            Take it back
          </Button>
        </span>
      </div>
    </div>
  );
}

/** Ctrl+Enter or Cmd+Enter anywhere in a decision presses the button that answers. */
export function useAnswerChord(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Enter' || !(event.metaKey || event.ctrlKey)) return;
      const button = document.querySelector<HTMLButtonElement>('button[data-action="approve"]:not(:disabled)');
      if (!button) return;
      event.preventDefault();
      button.click();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
}

function isMac(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.userAgent);
}
