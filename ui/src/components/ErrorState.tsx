import { Button } from '@mantine/core';
import { IconAlertTriangleFilled, IconLock, IconPlugConnectedX } from '@tabler/icons-react';
import { Problem } from '../api/problem';
import classes from './states.module.css';

export interface ErrorStateProps {
  error: unknown;
  /** What could not be shown: "The pipeline of guestbook". */
  what: string;
  onRetry: () => void;
}

/** Why a page has nothing to show, in words, with the request id and a way to try again. */
export function ErrorState({ error, what, onRetry }: ErrorStateProps) {
  const problem = error instanceof Problem ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const look = looks(problem);
  return (
    <div className={classes.state} role="alert">
      <h2>
        {look.icon} {look.title(what)}
      </h2>
      <p>{sentence(message)}</p>
      {problem?.hint && <p>{problem.hint}</p>}
      {problem?.requestId && (
        <p className={classes.meta}>
          Request <code>{problem.requestId}</code>: the server's log holds the details under this id.
        </p>
      )}
      <div className={classes.buttons}>
        <Button onClick={onRetry}>Try again</Button>
      </div>
    </div>
  );
}

function looks(problem: Problem | undefined) {
  if (problem?.status === 0) {
    return {
      icon: <IconPlugConnectedX size={20} color="var(--st-unk)" aria-hidden="true" />,
      title: () => 'Waybill cannot be reached',
    };
  }
  if (problem?.status === 403 || problem?.status === 404) {
    return {
      icon: <IconLock size={20} color="var(--st-unk)" aria-hidden="true" />,
      title: (what: string) => `${what} does not exist, or you may not see it`,
    };
  }
  return {
    icon: <IconAlertTriangleFilled size={20} color="var(--st-bad)" aria-hidden="true" />,
    title: (what: string) => `${what} could not be loaded`,
  };
}

/** Server errors are lower-case phrases; a page says sentences. */
export function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
