import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { FailedDeploy, Insights } from '../../api/types';
import { Card } from '../../components/Card';
import { sentence } from '../../components/ErrorState';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import { fullName, versionOf } from '../../lib/freight';
import { routes } from '../../paths';
import classes from './InsightsPage.module.css';
import { restoredWords } from './measures';

export interface FailuresCardProps {
  /** Newest first; the newest 50. */
  failures: FailedDeploy[];
  total: Insights;
  showsProject: boolean;
}

/** So many are shown before somebody asks for all. */
const shownFailures = 5;

/** What failed, why, and what made the Stage Healthy again. */
export function FailuresCard({ failures, total, showsProject }: FailuresCardProps) {
  const [showsAll, showAll] = useState(false);
  const shown = showsAll ? failures : failures.slice(0, shownFailures);
  const left = total.failed - failures.length;
  return (
    <Card title="Failed deploys" aside={total.failed > 0 ? total.failed : undefined}>
      {failures.length === 0 && (
        <p className={classes.empty}>
          {total.judged > 0
            ? `None of the ${total.judged} that ended failed or was taken back.`
            : 'Not known: no deploy ended well or badly in this time.'}
        </p>
      )}
      <ul className={classes.failures} aria-label="Failed deploys, newest first">
        {shown.map((failure) => (
          <Row key={`${failure.project}/${failure.promotion}`} failure={failure} showsProject={showsProject} />
        ))}
      </ul>
      {shown.length < failures.length && (
        <Button size="xs" className={classes.all} onClick={() => showAll(true)}>
          Show all {failures.length}
        </Button>
      )}
      {left > 0 && <p className={classes.empty}>{left} older ones are left out.</p>}
    </Card>
  );
}

function Row({ failure, showsProject }: { failure: FailedDeploy; showsProject: boolean }) {
  const { project, stage, freight, promotion, restoredBy } = failure;
  return (
    <li className={classes.failure} data-promotion={promotion}>
      <StatusIcon status="Failed" label="Failed" />
      <div className={classes.grow}>
        <p className={classes.what}>
          <Link
            to={routes.promotion}
            params={{ project, promotion }}
            className={classes.strong}
            title={`${promotion}: ${fullName(freight)}`}
          >
            {showsProject ? `${project} ${versionOf(freight)}` : versionOf(freight)}
          </Link>{' '}
          <span className={classes.note}>
            into {stage}, <When at={failure.at} suffix=" ago" />
          </span>
        </p>
        <p className={classes.cause}>{failure.cause ? sentence(failure.cause) : 'Nobody recorded why.'}</p>
        <p className={classes.restored}>
          {restoredBy ? (
            <>
              <span className={classes.note}>Restored by</span>{' '}
              <Link to={routes.promotion} params={{ project, promotion: restoredBy }} title={restoredBy}>
                {restoredWords(failure)}
              </Link>
            </>
          ) : (
            <strong>Not restored yet</strong>
          )}
        </p>
      </div>
    </li>
  );
}
