import type { Application } from '../../api/types';
import { Card } from '../../components/Card';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import classes from './StagePage.module.css';

export interface DriftCardProps {
  applications: Application[];
}

/** Fields that differed from Git: what Git says, what was found, which hand set it, and what was done. */
export function DriftCard({ applications }: DriftCardProps) {
  const drifts = applications
    .flatMap((app) => (app.drifts ?? []).map((drift) => ({ app: app.name, drift })))
    .sort((a, b) => b.drift.at.localeCompare(a.drift.at));
  const isDrifting = applications.some((app) => app.drifting);
  return (
    <Card title="Drift" aside={isDrifting ? 'differs from Git now' : 'nothing differs now'}>
      {drifts.length === 0 ? (
        <p className={classes.empty}>Nothing has drifted from Git.</p>
      ) : (
        <ul className={classes.rows}>
          {drifts.map(({ app, drift }) => (
            <li key={`${app} ${drift.at} ${drift.kind}/${drift.namespace ?? ''}/${drift.name} ${drift.field ?? ''}`}>
              <StatusIcon status="Drifted" size={16} />
              <div className={classes.grow}>
                <span className={classes.strong}>
                  {drift.kind}/{drift.name}
                </span>
                <small className="mono">{drift.field ?? 'the object itself'}</small>
                {(drift.want !== undefined || drift.got !== undefined) && (
                  <dl className={classes.values}>
                    <dt>Git</dt>
                    <dd className="mono">{drift.want ?? 'absent'}</dd>
                    <dt>Found</dt>
                    <dd className="mono">{drift.got ?? 'absent'}</dd>
                  </dl>
                )}
              </div>
              <span className={classes.right}>
                {drift.manager ?? 'unknown hand'} · {drift.action}
              </span>
              <span className={classes.right}>
                <When at={drift.at} suffix=" ago" />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
