import { Button, UnstyledButton } from '@mantine/core';
import { useState } from 'react';
import { usePromotion, useStagePermissions, useVerify } from '../../api/queries';
import type { Check, CheckPhase, Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { StatusIcon } from '../../components/StatusIcon';
import { useToast } from '../../components/toast';
import { When } from '../../components/When';
import { Failure } from '../../dialogs/Note';
import classes from './StagePage.module.css';

export interface ChecksCardProps {
  project: string;
  stage: Stage;
}

/** The checks that prove what runs here: how each stands, what it measured, what its Job wrote. */
export function ChecksCard({ project, stage }: ChecksCardProps) {
  const toast = useToast();
  const verify = useVerify(project, stage.name);
  const permissions = useStagePermissions(project, stage.name);
  const run = stage.verification;
  if (!run && !stage.checks) return null;
  const isRunning = run?.phase === 'Running';
  const ask = (abort: boolean) =>
    verify.mutate(
      { abort },
      {
        onSuccess: () =>
          toast(abort ? `The checks of ${stage.name} are stopped.` : `The checks of ${stage.name} run again.`),
      },
    );
  return (
    <Card
      title="Checks"
      aside={
        <>
          {run?.version && <span className={classes.muted}>{run.version}</span>}
          {run && run.run > 1 && <span className={classes.muted}> · run {run.run}</span>}
          {(permissions?.promote ?? true) && (
            <Button
              size="xs"
              variant="subtle"
              disabled={verify.isPending || (!run && !isRunning)}
              onClick={() => ask(isRunning)}
            >
              {isRunning ? 'Abort' : 'Run again'}
            </Button>
          )}
        </>
      }
    >
      {verify.isError && <Failure error={verify.error} />}
      {run ? (
        <ul className={classes.rows} aria-label="Checks" data-phase={run.phase}>
          {run.checks.map((check) => (
            <Row key={check.name} project={project} promotion={run.promotion} check={check} />
          ))}
        </ul>
      ) : (
        <p className={classes.empty}>
          {stage.checks === 1 ? 'One check runs' : `${stage.checks} checks run`} after the next promotion.
        </p>
      )}
      {run?.message && run.phase !== 'Succeeded' && !isRunning && <p className={classes.verdict}>{run.message}</p>}
    </Card>
  );
}

const looks: Record<CheckPhase, string> = {
  Pending: 'Waiting',
  Running: 'Progressing',
  Succeeded: 'Healthy',
  Failed: 'Failed',
  Inconclusive: 'Unknown',
  Aborted: 'Frozen',
  Skipped: 'Waiting',
};

function Row({ project, promotion, check }: { project: string; promotion: string | undefined; check: Check }) {
  const [isOpen, setOpen] = useState(false);
  const measured = (check.succeeded ?? 0) + (check.failed ?? 0) + (check.inconclusive ?? 0);
  const hasLog = check.kind === 'job' && check.finishedAt !== undefined && promotion !== undefined;
  return (
    <li data-check={check.name} data-phase={check.phase}>
      <StatusIcon status={looks[check.phase]} size={16} label={check.phase} />
      <span className={classes.grow}>
        <span className={classes.strong}>{check.name}</span> <span className={classes.muted}>{check.kind}</span>
        {check.value && (
          <>
            {' '}
            <code>{check.value}</code>
          </>
        )}
        <small>
          {check.phase === 'Skipped' ? 'Skipped: one before it did not succeed.' : check.message}
          {measured > 1 && ` (${measured} measured, ${(check.failed ?? 0) + (check.inconclusive ?? 0)} bad)`}
        </small>
        {hasLog && (
          <UnstyledButton className={classes.toggle} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            {isOpen ? 'Hide log' : 'Log'}
          </UnstyledButton>
        )}
        {isOpen && promotion && <Log project={project} promotion={promotion} check={check.name} />}
      </span>
      <span className={classes.right}>
        <When at={check.finishedAt ?? check.startedAt} suffix={check.finishedAt ? ' ago' : ''} />
      </span>
    </li>
  );
}

/** The end of what a check's Job wrote; lists carry no logs. */
function Log({ project, promotion, check }: { project: string; promotion: string; check: string }) {
  const query = usePromotion(project, promotion);
  if (query.isError) return <Failure error={query.error} />;
  if (!query.data) return <small aria-busy="true">Loading the log…</small>;
  const log = query.data.verification?.checks.find((each) => each.name === check)?.log;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <section className={classes.log} tabIndex={0} aria-label={`Log of ${check}`}>
      {log || 'It wrote nothing.'}
    </section>
  );
}
