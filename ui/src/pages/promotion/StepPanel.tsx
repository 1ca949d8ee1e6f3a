import type { Promotion, Stage, Step } from '../../api/types';
import { Card } from '../../components/Card';
import { CheckList, LogBox } from '../../components/Checks';
import { CopyBlock } from '../../components/CopyBlock';
import { sentence } from '../../components/ErrorState';
import { ExternalLink } from '../../components/ExternalLink';
import { GateList } from '../../components/GateList';
import { HealthIcon } from '../../components/HealthIcon';
import { StepIcon } from '../../components/StepIcon';
import { shortRepo } from '../../lib/freight';
import { absolute } from '../../lib/time';
import classes from './PromotionPage.module.css';
import type { StepRow } from './steps';

export interface StepPanelProps {
  promotion: Promotion;
  row: StepRow;
  stage: Stage | undefined;
}

/** What one line of the steps did, in plain words, and for what failed what it said. */
export function StepPanel({ promotion, row, stage }: StepPanelProps) {
  return (
    <Card
      title={
        <span className={classes.panelTitle}>
          <StepIcon state={row.state} /> {row.title}
        </span>
      }
      aside={words[row.state]}
    >
      <div className={classes.panel} data-panel={row.key}>
        {row.key === 'gates' ? (
          <Gates promotion={promotion} />
        ) : row.key === 'rollout' ? (
          <Rollout promotion={promotion} row={row} stage={stage} />
        ) : row.key === 'checks' ? (
          <Checks promotion={promotion} stage={stage} />
        ) : (
          <StepDetail promotion={promotion} row={row} />
        )}
      </div>
    </Card>
  );
}

const words: Record<Step['state'], string> = {
  Pending: 'not started',
  Running: 'runs',
  Waiting: 'waits',
  Succeeded: 'done',
  Failed: 'failed',
  Skipped: 'not started',
  Aborted: 'aborted',
};

function Gates({ promotion }: { promotion: Promotion }) {
  const gates = promotion.gates ?? [];
  if (gates.length > 0 && !promotion.startedAt) return <GateList gates={gates} label="Closed gates" />;
  return (
    <p className={classes.quiet}>
      {promotion.startedAt
        ? `Every gate was open${promotion.bypass?.length ? `, or passed with a reason: ${promotion.bypass.join(', ')}` : ''}.`
        : sentence(promotion.message ?? 'it has not been looked at yet')}
    </p>
  );
}

function Checks({ promotion, stage }: { promotion: Promotion; stage: Stage | undefined }) {
  const run = promotion.verification;
  const isCurrent = stage?.freight?.promotion === promotion.name;
  if (run) return <CheckList project={promotion.project} run={run} stage={isCurrent ? stage?.name : undefined} />;
  return (
    <p className={classes.quiet}>
      {promotion.finished
        ? 'They did not run: it ended before the Stage was healthy with it.'
        : `${stage?.checks === 1 ? 'One check runs' : `${stage?.checks ?? 'Its'} checks run`} when the Stage is healthy with it.`}
    </p>
  );
}

function StepDetail({ promotion, row }: { promotion: Promotion; row: StepRow }) {
  const step = row.step;
  const isFailed = row.state === 'Failed';
  const commit =
    step?.uses === 'git-push' && row.state === 'Succeeded' && !promotion.commits?.length ? promotion.commit : undefined;
  return (
    <>
      {isFailed && <h3 className={classes.failure}>{sentence(firstWords(step?.message ?? 'it failed'))}</h3>}
      {!isFailed && step?.message && <p>{sentence(step.message)}</p>}
      {!step?.message && !isFailed && <p className={classes.quiet}>It said nothing.</p>}
      <dl className={classes.facts}>
        <dt>Step</dt>
        <dd className="mono">{step?.uses}</dd>
        {row.start && (
          <>
            <dt>Started</dt>
            <dd>{absolute(row.start)}</dd>
          </>
        )}
        {row.end && (
          <>
            <dt>Ended</dt>
            <dd>{absolute(row.end)}</dd>
          </>
        )}
        {(step?.attempts ?? 0) > 0 && (
          <>
            <dt>Attempts</dt>
            <dd>{step?.attempts}</dd>
          </>
        )}
        {commit && (
          <>
            <dt>Commit</dt>
            <dd>
              <code title={commit.commit}>{commit.commit.slice(0, 12)}</code> on {commit.branch} of{' '}
              <ExternalLink href={commit.repoURL}>{shortRepo(commit.repoURL)}</ExternalLink>
              {commit.unchanged && ', which held this content already'}
            </dd>
          </>
        )}
      </dl>
      {step?.log && (
        <>
          <h3 className={classes.heading}>What its Job wrote</h3>
          <LogBox of={step.name} text={step.log} />
        </>
      )}
      {isFailed && (
        <>
          {step?.message?.includes('\n') && (
            <>
              <h3 className={classes.heading}>What it said</h3>
              <CopyBlock label="Message" text={step.message} />
            </>
          )}
          <h3 className={classes.heading}>What to do</h3>
          <p className={classes.quiet}>
            Nothing after this step has run. When the cause is gone, try the promotion again: it makes no second commit
            for what is in Git already.
          </p>
          <CopyBlock
            label="Command"
            text={
              promotion.mayRetry
                ? `waybill retry ${promotion.project}/${promotion.name} --wait`
                : `waybill promote ${promotion.freight?.version ?? promotion.freight?.name ?? ''} ${promotion.project}/${promotion.stage} --wait`
            }
          />
        </>
      )}
    </>
  );
}

/** The first line of a message. */
function firstWords(message: string): string {
  return message.split('\n')[0] ?? message;
}

function Rollout({ promotion, row, stage }: StepPanelProps) {
  const isNow = row.state === 'Running' || row.state === 'Failed';
  // Once checks have begun, its message is about them.
  const message = promotion.verification ? '' : promotion.message;
  const objects = isNow ? (stage?.destinations.flatMap((app) => app.objects ?? []) ?? []) : [];
  return (
    <>
      <p>{sentence(message || saying[row.state])}</p>
      {isNow && stage && (
        <ul className={classes.meaning}>
          <li>
            <HealthIcon health={stage.health} />
            <span>
              {stage.health}
              {stage.healthMessage && stage.healthMessage !== promotion.message && `: ${stage.healthMessage}`}
            </span>
          </li>
          {objects.map((object) => (
            <li key={`${object.group ?? ''}/${object.kind}/${object.namespace ?? ''}/${object.name}`}>
              <HealthIcon health={object.health ?? 'Unknown'} />
              <span>
                <strong>
                  {object.kind}/{object.name}
                </strong>{' '}
                {object.message ?? object.reason}
              </span>
            </li>
          ))}
        </ul>
      )}
      <dl className={classes.facts}>
        {row.start && (
          <>
            <dt>Pushed</dt>
            <dd>{absolute(row.start)}</dd>
          </>
        )}
        {row.end && (
          <>
            <dt>Ended</dt>
            <dd>{absolute(row.end)}</dd>
          </>
        )}
      </dl>
    </>
  );
}

const saying: Record<Step['state'], string> = {
  Pending: 'it begins when the commit is pushed',
  Running: 'the cluster is being brought to what Git says',
  Waiting: 'it waits',
  Succeeded: 'the Stage was synced and healthy with it',
  Failed: 'the Stage did not become healthy with it',
  Skipped: 'nothing was rolled out',
  Aborted: 'it was taken back or stopped before it was done',
};
