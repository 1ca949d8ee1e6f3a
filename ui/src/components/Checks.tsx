import { Button, UnstyledButton } from '@mantine/core';
import { useState } from 'react';
import { usePromotion, useStagePermissions, useVerify } from '../api/queries';
import type { Check, Verification } from '../api/types';
import { Failure } from '../dialogs/Note';
import { instant, span } from '../lib/time';
import classes from './Checks.module.css';
import { StepIcon } from './StepIcon';
import { useToast } from './toast';
import { When } from './When';

export interface CheckListProps {
  project: string;
  run: Verification;
  /** The Stage that can be asked to run them again, or to stop; none for a run of the past. */
  stage: string | undefined;
}

/** The checks of one run: how each stands, what it measured and how often, what its Job wrote. */
export function CheckList({ project, run, stage }: CheckListProps) {
  // A check that failed says so itself.
  const isSaid = run.checks.some(({ phase }) => phase === 'Failed' || phase === 'Inconclusive');
  return (
    <>
      <ul className={classes.rows} aria-label="Checks" data-phase={run.phase} data-run={run.run}>
        {run.checks.map((check) => (
          <Row key={check.name} project={project} promotion={run.promotion} check={check} />
        ))}
      </ul>
      {run.message && run.phase !== 'Succeeded' && run.phase !== 'Running' && !isSaid && (
        <p className={classes.verdict}>{run.message}</p>
      )}
      {stage && <Again project={project} stage={stage} isRunning={run.phase === 'Running'} />}
    </>
  );
}

/** How often it was measured, and with which result; empty for what is measured once. */
export function measuredText(check: Check): string {
  const [good, bad, unknown] = [check.succeeded ?? 0, check.failed ?? 0, check.inconclusive ?? 0];
  const all = good + bad + unknown;
  if (all <= 1) return '';
  const parts = [`${all} measured`];
  if (bad > 0) parts.push(`${bad} bad`);
  if (unknown > 0) parts.push(`${unknown} inconclusive`);
  return parts.join(', ');
}

function Row({ project, promotion, check }: { project: string; promotion: string | undefined; check: Check }) {
  const [isOpen, setOpen] = useState(false);
  const hasLog = check.kind === 'job' && check.finishedAt !== undefined && promotion !== undefined;
  const [start, end] = [instant(check.startedAt), instant(check.finishedAt)];
  const measured = measuredText(check);
  return (
    <li data-check={check.name} data-phase={check.phase}>
      <StepIcon state={check.phase} />
      <span className={classes.what}>
        <span className={classes.name}>{check.name}</span> <span className={classes.muted}>{check.kind}</span>
        {check.value && (
          <>
            {' '}
            <code>{check.value}</code>
          </>
        )}
        <small>
          {check.phase === 'Skipped' ? 'Skipped: one before it did not succeed.' : check.message}
          {measured && ` (${measured})`}
        </small>
        {check.job && (
          <small>
            Job <code>{check.job}</code>
          </small>
        )}
        {hasLog && (
          <UnstyledButton className={classes.toggle} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            {isOpen ? 'Hide log' : 'Log'}
          </UnstyledButton>
        )}
        {isOpen && promotion && <CheckLog project={project} promotion={promotion} check={check.name} />}
      </span>
      <span className={classes.when}>
        {start && end ? `took ${span((end.getTime() - start.getTime()) / 1000)}` : <When at={check.startedAt} />}
      </span>
    </li>
  );
}

/** The end of what a check's Job wrote; lists carry no logs. */
function CheckLog({ project, promotion, check }: { project: string; promotion: string; check: string }) {
  const query = usePromotion(project, promotion);
  if (query.isError) return <Failure error={query.error} />;
  if (!query.data) return <small aria-busy="true">Loading the log…</small>;
  const log = query.data.verification?.checks.find((each) => each.name === check)?.log;
  return <LogBox of={check} text={log} />;
}

/** The end of what a Job wrote. */
export function LogBox({ of, text }: { of: string; text: string | undefined }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <section className={classes.log} tabIndex={0} aria-label={`Log of ${of}`}>
      {text || 'It wrote nothing.'}
    </section>
  );
}

/** Runs a Stage's checks again for what it runs, or stops them; nothing for those who may not. */
function Again({ project, stage, isRunning }: { project: string; stage: string; isRunning: boolean }) {
  const toast = useToast();
  const verify = useVerify(project, stage);
  const permissions = useStagePermissions(project, stage);
  if (!(permissions?.promote ?? true)) return null;
  const ask = (abort: boolean) =>
    verify.mutate(
      { abort },
      { onSuccess: () => toast(abort ? `The checks of ${stage} are stopped.` : `The checks of ${stage} run again.`) },
    );
  return (
    <div className={classes.again}>
      {verify.isError && <Failure error={verify.error} />}
      <Button disabled={verify.isPending} onClick={() => ask(isRunning)}>
        {isRunning ? 'Stop the checks' : 'Run the checks again'}
      </Button>
    </div>
  );
}
