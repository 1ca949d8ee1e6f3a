import type { Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { CheckList } from '../../components/Checks';
import classes from './StagePage.module.css';

export interface ChecksCardProps {
  project: string;
  stage: Stage;
}

/** The checks that prove what runs here. */
export function ChecksCard({ project, stage }: ChecksCardProps) {
  const run = stage.verification;
  if (!run && !stage.checks) return null;
  return (
    <Card
      title="Checks"
      aside={
        <>
          {run?.version && <span className={classes.muted}>{run.version}</span>}
          {run && run.run > 1 && <span className={classes.muted}> · run {run.run}</span>}
        </>
      }
    >
      {run ? (
        <CheckList
          project={project}
          run={run}
          stage={run.promotion === stage.freight?.promotion ? stage.name : undefined}
        />
      ) : (
        <p className={classes.empty}>
          {stage.checks === 1 ? 'One check runs' : `${stage.checks} checks run`} after the next promotion.
        </p>
      )}
    </Card>
  );
}
