import { UnstyledButton } from '@mantine/core';
import { IconArrowDown } from '@tabler/icons-react';
import { Fragment, type ReactNode, useId } from 'react';
import type { Approval, Gate, Plan, PlannedApplication, PlannedCommit, Promotion } from '../api/types';
import { Avatar } from '../components/Avatar';
import { Card } from '../components/Card';
import { DiffView } from '../components/DiffView';
import { ErrorState, sentence } from '../components/ErrorState';
import { GateIcon } from '../components/GateIcon';
import { ObjectDiffs } from '../components/ObjectDiff';
import { Skeleton } from '../components/Skeleton';
import { StatusIcon } from '../components/StatusIcon';
import { When } from '../components/When';
import { ImageTable } from '../dialogs/ImageTable';
import { Note } from '../dialogs/Note';
import { personName, shortRepo } from '../lib/freight';
import type { Decision } from './decision';
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
          {promotion.requestReason || 'No reason was given.'}
        </p>
      </div>
    </div>
  );
}

/** What became of a Promotion that does not wait any more. */
function Ended({ promotion }: { promotion: Promotion }) {
  const rejection = promotion.approvals?.find((each) => each.decision === 'Reject');
  return (
    <Note tone={promotion.phase === 'Failed' ? 'Failed' : 'Unknown'}>
      <strong>
        {promotion.finished ? 'There is nothing left to decide.' : 'It has been approved and is on its way.'}
      </strong>{' '}
      {promotion.finished && sentence(promotion.message || `It is ${promotion.phase.toLowerCase()}`)}
      {rejection?.reason && ` ${personName(rejection.actor)}: ${rejection.reason}`}
    </Note>
  );
}

/** What somebody should look at before agreeing, in the server's sentences. */
function Warnings({ plan }: { plan: Plan }) {
  const risks = plan.risks ?? [];
  const overwrites = plan.overwrites ?? [];
  const broken = (plan.applications ?? []).filter((app) => app.broken);
  if (risks.length + overwrites.length + broken.length === 0) return null;
  return (
    <>
      {broken.map((app) => (
        <Note key={app.name} tone="Failed">
          <strong>{app.name} cannot be rendered afterwards.</strong> {app.broken}
        </Note>
      ))}
      {risks.length > 0 && (
        <Note tone="Waiting">
          <strong>{risks.length === 1 ? '1 thing to look at.' : `${risks.length} things to look at.`}</strong>
          <ul className={classes.risks} aria-label="Risks">
            {risks.map((risk) => (
              <li key={`${risk.flag} ${risk.sentence}`} data-risk={risk.flag}>
                {sentence(risk.sentence)}
              </li>
            ))}
          </ul>
        </Note>
      )}
      {overwrites.length > 0 && (
        <Note tone="Waiting">
          <strong>
            {overwrites.length === 1
              ? 'A commit by somebody else on the branch will be overwritten.'
              : `${overwrites.length} commits by others on the branch will be overwritten.`}
          </strong>
          <Commits commits={overwrites} />
        </Note>
      )}
    </>
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

function Commits({ commits }: { commits: PlannedCommit[] }) {
  return (
    <ul className={classes.commits}>
      {commits.map((each) => (
        <li key={`${each.repoURL ?? ''} ${each.commit}`}>
          <code title={`${each.commit}${each.repoURL ? ` in ${shortRepo(each.repoURL)}` : ''}`}>
            {each.commit.slice(0, 7)}
          </code>
          <span className={classes.subject}>{each.subject}</span>
          <span className={classes.muted}>{each.author}</span>
          <span className={classes.muted}>
            <When at={each.at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Manifests({ app, isNamed }: { app: PlannedApplication; isNamed: boolean }) {
  const deleted = app.objects.filter(({ change }) => change === 'deleted').length;
  return (
    <>
      <h3 className={classes.heading}>
        {isNamed ? `Manifests of ${app.name}` : 'Manifests'}{' '}
        <small>
          {app.objects.length === 0 ? 'nothing changes' : count(app.objects.length, 'object changes', 'objects change')}
          {deleted > 0 && `, ${deleted} deleted`}, {app.unchanged}{' '}
          {app.unchanged === 1 ? 'stays as it is' : 'stay as they are'}
        </small>
        {isNamed && app.cluster && (
          <small>
            <IconArrowDown size={13} aria-hidden="true" /> {app.cluster}
          </small>
        )}
      </h3>
      <ObjectDiffs objects={app.objects} />
    </>
  );
}

function count(n: number, one: string, many = `${one}s`): string {
  return n === 1 ? `1 ${one}` : `${n} ${many}`;
}
