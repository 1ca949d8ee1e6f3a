import { Link } from '@tanstack/react-router';
import type { Application, Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { HealthIcon } from '../../components/HealthIcon';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import { routes } from '../../paths';
import classes from './StagePage.module.css';

export interface HealthCardProps {
  project: string;
  stage: Stage;
}

/** How the Stage is, why, and each object that is not well. */
export function HealthCard({ project, stage }: HealthCardProps) {
  const many = stage.destinations.length > 1;
  return (
    <Card title="Health" aside={stage.synced ? 'synced with Git' : 'not synced with Git'}>
      <ul className={classes.rows}>
        <li>
          <HealthIcon health={stage.health} />
          <span className={classes.grow}>
            <span className={classes.strong}>{stage.health}</span>
            <Cause health={stage.health} reason={stage.healthReason} message={stage.healthMessage} />
          </span>
        </li>
        {stage.destinations.map((app) => (
          <Destination key={app.name} app={app} isNamed={many} />
        ))}
      </ul>
      {stage.destinations.length > 0 && (
        <p className={classes.more}>
          <Link to={routes.resources} params={{ project, stage: stage.name }}>
            Objects, events and logs
          </Link>
        </p>
      )}
    </Card>
  );
}

function Destination({ app, isNamed }: { app: Application; isNamed: boolean }) {
  return (
    <>
      <li>
        <StatusIcon status={app.drifting ? 'Drifted' : syncLooksLike[app.sync]} size={16} label={app.sync} />
        <span className={classes.grow}>
          <span className={classes.strong}>
            {isNamed ? `${app.name}: ` : ''}
            {app.sync}
          </span>
          <small>
            {app.revision && (
              <>
                {app.branch ?? 'commit'} at <code title={app.revision}>{app.revision.slice(0, 7)}</code>
              </>
            )}
            {app.syncMessage && ` ${app.syncMessage}`}
          </small>
        </span>
        <span className={classes.right}>
          {app.resources !== undefined && `${app.resources} objects`} <When at={app.syncedAt} suffix=" ago" />
        </span>
      </li>
      {app.objects?.map((object) => (
        <li key={`${app.name} ${object.group ?? ''}/${object.kind}/${object.namespace ?? ''}/${object.name}`}>
          <HealthIcon health={object.health ?? 'Unknown'} />
          <span className={classes.grow}>
            <span className={classes.strong}>
              {object.kind}/{object.name}
            </span>
            <Cause health={object.health} reason={object.reason} message={object.message} />
          </span>
        </li>
      ))}
    </>
  );
}

interface CauseProps {
  health: string | undefined;
  reason: string | undefined;
  message: string | undefined;
}

/** The cause in the server's words; its code word only when there is no sentence and it adds something. */
function Cause({ health, reason, message }: CauseProps) {
  const words = message || (reason === health ? undefined : reason);
  return words ? <small>{words}</small> : null;
}

const syncLooksLike: Record<Application['sync'], string> = {
  Synced: 'Healthy',
  OutOfSync: 'Progressing',
  Syncing: 'Progressing',
  Unknown: 'Unknown',
};
