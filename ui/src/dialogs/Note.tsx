import { IconAlertTriangleFilled, IconInfoCircle } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Problem } from '../api/problem';
import { sentence } from '../components/ErrorState';
import { GateList } from '../components/GateList';
import { statusClass } from '../components/Status';
import classes from './Sheet.module.css';

export interface NoteProps {
  tone: 'Waiting' | 'Failed' | 'Frozen' | 'Unknown';
  children: ReactNode;
}

/** A box in the colour of a status, for what one must know before deciding. */
export function Note({ tone, children }: NoteProps) {
  const Icon = tone === 'Failed' ? IconAlertTriangleFilled : IconInfoCircle;
  return (
    <div className={`${classes.note} ${statusClass(tone)}`}>
      <Icon size={17} aria-hidden="true" />
      <div>{children}</div>
    </div>
  );
}

export interface FailureProps {
  error: unknown;
}

/** Why the server refused, with what closes the way and the request id. */
export function Failure({ error }: FailureProps) {
  const problem = error instanceof Problem ? error : undefined;
  return (
    <div className={classes.failure} role="alert">
      <Note tone="Failed">
        {sentence(error instanceof Error ? error.message : String(error))} {problem?.hint}
        {problem && problem.blockedBy.length > 0 && <GateList gates={problem.blockedBy} label="Closed gates" />}
        {problem?.requestId && (
          <div className={classes.muted}>
            Request <code>{problem.requestId}</code>
          </div>
        )}
      </Note>
    </div>
  );
}
