import { UnstyledButton } from '@mantine/core';
import { Fragment, type ReactNode, useId } from 'react';
import type { Approval, Gate, Plan, Promotion } from '../api/types';
import { Avatar } from '../components/Avatar';
import { Card } from '../components/Card';
import { DiffView } from '../components/DiffView';
import { ErrorState, sentence } from '../components/ErrorState';
import { GateIcon } from '../components/GateIcon';
import { Skeleton } from '../components/Skeleton';
import { StatusIcon } from '../components/StatusIcon';
import { When } from '../components/When';
import { ImageTable } from '../dialogs/ImageTable';
import { Note } from '../dialogs/Note';
import { personName } from '../lib/freight';
import type { Decision } from './decision';
import { Commits, count, Manifests, Warnings } from './PlanParts';
import classes from './Review.module.css';

export interface ReviewBodyProps {
  decision: Decision;
  promotion: Promotion;
}

/** What one has to know before deciding, most telling first: the request, risks, what changes, gates, manifests. */
export function ReviewBody({ decision, promotion }: ReviewBodyProps) {
  const { plan, isWaiting } = decision;
  const id = useId();
  if (!isWaiting) {
    return (
      <div className={classes.body}>
        <Ended promotion={promotion} />
        <Request promotion={promotion} />
      </div>
    );
  }
  const data = plan.data;
  return (
    <>
      {data && <Jump plan={data} id={id} />}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard (WCAG 2.1.1) */}
      <section className={classes.body} tabIndex={0} aria-label="What changes">
        <Request promotion={promotion} />
        {plan.isError ? (
          <ErrorState error={plan.error} what="The plan" onRetry={() => plan.refetch()} />
        ) : data ? (
          <Loaded plan={data} promotion={promotion} id={id} />
        ) : (
          <div aria-busy="true">
            <Skeleton height={150} />
            <div style={{ height: 16 }} />
            <Skeleton height={320} />
          </div>
        )}
      </section>
    </>
  );
}

function Loaded({ plan, promotion, id }: { plan: Plan; promotion: Promotion; id: string }) {
  const applications = plan.applications ?? [];
  return (
    <>
      <div id={`${id}-summary`}>
        <Warnings plan={plan} />
      </div>
      <div className={classes.columns}>
        <div className={classes.column}>
          <Card
            title="Artifacts"
            aside={count(plan.images.filter(({ change }) => change !== 'unchanged').length, 'change')}
          >
            <ImageTable images={plan.images} isPlain />
          </Card>
          {plan.commits && plan.commits.length > 0 && (
            <div id={`${id}-commits`}>
              <Card title="Commits" aside="since what runs now was promoted">
                <Commits commits={plan.commits} />
              </Card>
            </div>
          )}
        </div>
        <div id={`${id}-gates`}>
          <Gates gates={plan.gates} promotion={promotion} />
        </div>
      </div>
      <div id={`${id}-manifests`}>
        {applications.map((app) => (
          <Manifests key={app.name} app={app} isNamed={applications.length > 1} />
        ))}
        {applications.length === 0 && plan.files && plan.files.length > 0 && (
          <>
            <h3 className={classes.heading}>Files</h3>
            <DiffView files={plan.files} />
          </>
        )}
        {applications.length === 0 && plan.filesMissing && (
          <p className={classes.empty}>The manifests are not shown: {plan.filesMissing}</p>
        )}
      </div>
    </>
  );
}

/** Buttons that lead to the parts of a long page, with what is in them. */
function Jump({ plan, id }: { plan: Plan; id: string }) {
  const applications = plan.applications ?? [];
  const sum = (of: 'added' | 'removed') => applications.reduce((total, app) => total + (app[of] ?? 0), 0);
  const open = plan.gates.filter((gate) => gate.open || gate.bypassed).length;
  const go = (part: string) => document.getElementById(`${id}-${part}`)?.scrollIntoView({ block: 'start' });
  const item = (part: string, content: ReactNode) => (
    <UnstyledButton onClick={() => go(part)}>{content}</UnstyledButton>
  );
  return (
    <nav className={classes.jump} aria-label="Parts of the plan">
      {item('summary', 'Summary')}
      {plan.commits &&
        plan.commits.length > 0 &&
        item(
          'commits',
          <>
            Commits <small>{plan.commits.length}</small>
          </>,
        )}
      {item(
        'manifests',
        <>
          Manifests <span className={classes.plus}>+{sum('added')}</span>{' '}
          <span className={classes.minus}>−{sum('removed')}</span>
        </>,
      )}
      {item(
        'gates',
        <>
          Gates{' '}
          <small>
            {open}/{plan.gates.length}
          </small>
        </>,
      )}
    </nav>
  );
}

function Request({ promotion }: { promotion: Promotion }) {
  const who = promotion.automatic ? 'waybill' : personName(promotion.requestedBy) || 'nobody known';
  return (
    <div className={classes.ask}>
      <Avatar name={who} size={24} />
      <div className={classes.bubble}>
        <strong>{who}</strong>{' '}
        <span className={classes.muted}>
          asked <When at={promotion.createdAt} suffix=" ago" />
        </span>
        <p className={promotion.requestReason ? undefined : classes.muted}>
          {promotion.requestReason ||
            (promotion.automatic ? 'It comes next by the automatic flow.' : 'No reason was given.')}
        </p>
      </div>
    </div>
  );
}

/** What became of a Promotion that does not wait any more. */
function Ended({ promotion }: { promotion: Promotion }) {
  return (
    <Note tone={promotion.phase === 'Failed' ? 'Failed' : 'Unknown'}>
      <strong>
        {promotion.finished ? 'There is nothing left to decide.' : 'It has been approved and is on its way.'}
      </strong>{' '}
      {promotion.finished && sentence(promotion.message || `It is ${promotion.phase.toLowerCase()}`)}
    </Note>
  );
}

/** Every gate with its reason, and each approval by name. */
function Gates({ gates, promotion }: { gates: Gate[]; promotion: Promotion }) {
  const open = gates.filter((gate) => gate.open || gate.bypassed).length;
  const approvals = promotion.approvals?.map((approval) => (
    <li key={approval.name} data-standing={approval.standing}>
      <StatusIcon
        status={approval.decision === 'Reject' ? 'Failed' : approval.standing === 'counts' ? 'Healthy' : 'Unknown'}
        size={16}
      />
      <span>
        {personName(approval.actor)} {approval.decision === 'Reject' ? 'rejected' : 'approved'}
      </span>
      <span className={classes.reason}>
        <When at={approval.createdAt} suffix=" ago" />
        {standingText[approval.standing]}
        {approval.reason && `: ${approval.reason}`}
      </span>
    </li>
  ));
  return (
    <Card title="Gates" aside={`${open} of ${gates.length} open`}>
      <ul className={classes.gates} aria-label="Gates">
        {gates.map((gate) => (
          <Fragment key={gate.gate}>
            <li data-gate={gate.gate} data-open={gate.open}>
              <GateIcon gate={gate} size={16} />
              <span className={gate.open ? undefined : classes.closed}>{gate.gate}</span>
              <span className={classes.reason}>
                {gate.bypassed && 'passed: '}
                {gate.reason}
              </span>
            </li>
            {gate.gate === 'approval' && approvals}
          </Fragment>
        ))}
      </ul>
    </Card>
  );
}

const standingText: Record<Approval['standing'], string> = {
  counts: '',
  'other-plan': ', another plan: does not count',
  expired: ', expired: does not count',
  'not-asked': ', not asked: does not count',
  self: ', requested it: does not count',
};
