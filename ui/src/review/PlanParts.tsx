import { IconArrowDown } from '@tabler/icons-react';
import type { Plan, PlannedApplication, PlannedCommit, RidingAlong } from '../api/types';
import { sentence } from '../components/ErrorState';
import { DriftedObjects, ObjectDiffs } from '../components/ObjectDiff';
import { When } from '../components/When';
import { Note } from '../dialogs/Note';
import { personName, shortRepo } from '../lib/freight';
import classes from './Review.module.css';

/** What somebody should look at before agreeing, in the server's sentences. */
export function Warnings({
  plan,
}: {
  plan: Pick<Plan, 'risks' | 'ridingAlong' | 'overwrites' | 'accepted' | 'applications'>;
}) {
  const risks = plan.risks ?? [];
  const overwrites = plan.overwrites ?? [];
  const accepted = plan.accepted ?? [];
  const riding = plan.ridingAlong?.stage ? plan.ridingAlong : undefined;
  const broken = (plan.applications ?? []).filter((app) => app.broken);
  if (risks.length + overwrites.length + accepted.length + broken.length === 0 && !riding) return null;
  return (
    <div className={classes.notes}>
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
      {riding && (
        <Note tone="Waiting">
          <strong>{ridingTitle(riding)}</strong>
          {riding.unknown && ` ${sentence(riding.unknown)}`}
          <Commits commits={riding.commits} />
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
      {accepted.length > 0 && (
        <Note tone="Waiting">
          <strong>What was accepted in the cluster will be overwritten.</strong> Change it where the branch is written
          from, if it is to stay.
          <ul className={classes.risks} aria-label="Accepted changes">
            {accepted.map((each) => (
              <li key={each.commit}>
                <code title={each.commit}>{each.commit.slice(0, 7)}</code> accepted by {personName(each.by)}:{' '}
                {each.fields.join(', ')}
              </li>
            ))}
          </ul>
        </Note>
      )}
    </div>
  );
}

function ridingTitle({ stage, commits, unknown }: RidingAlong): string {
  if (unknown) return `Something that was not tested in ${stage} may ride along.`;
  const what = commits.length === 1 ? '1 commit rides' : `${commits.length} commits ride`;
  return `${what} along, not tested in ${stage}.`;
}

/** Commits, newest first. */
export function Commits({ commits }: { commits: PlannedCommit[] }) {
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

/** What one destination is told differently: its objects, deletions first. */
export function Manifests({ app, isNamed }: { app: PlannedApplication; isNamed: boolean }) {
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
      {app.drifted && app.drifted.length > 0 && (
        <>
          <h4 className={classes.heading}>
            Left as it is, and different in the cluster{' '}
            <small>{count(app.drifted.length, 'object lives', 'objects live')} otherwise than Git says now</small>
          </h4>
          <DriftedObjects objects={app.drifted} />
        </>
      )}
      {app.liveMissing && <p className={classes.muted}>{sentence(app.liveMissing)}</p>}
    </>
  );
}

/** "1 change", "2 changes"; `many` where an s is not enough. */
export function count(n: number, one: string, many = `${one}s`): string {
  return n === 1 ? `1 ${one}` : `${n} ${many}`;
}
