import { Button } from '@mantine/core';
import { usePermissions } from '../../api/queries';
import type { Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import { driftKey, driftsOf, isAcceptable, mayAbout, openDrifts } from '../../lib/drift';
import { useDialog } from '../../lib/search';
import classes from './StagePage.module.css';

export interface DriftCardProps {
  project: string;
  stage: Stage;
}

/**
 * Fields that differed from Git: what Git says, what was found, which hand set it, and what was done. What is left
 * alone can be healed or accepted, and healing be paused, by who may.
 */
export function DriftCard({ project, stage }: DriftCardProps) {
  const dialog = useDialog();
  const may = mayAbout(usePermissions(project).data, stage.name);
  const applications = stage.destinations;
  const drifts = driftsOf(applications);
  const open = openDrifts(drifts);
  const isDrifting = applications.some((app) => app.drifting);
  const canPause = may.pause && applications.some((app) => app.driftPolicy === 'heal' && !app.healingPaused);
  return (
    <Card
      title="Drift"
      aside={
        <>
          {isDrifting ? 'differs from Git now' : 'nothing differs now'}
          {canPause && (
            <Button size="xs" variant="subtle" onClick={() => dialog({ pause: stage.name })}>
              Pause healing…
            </Button>
          )}
        </>
      }
    >
      {drifts.length === 0 ? (
        <p className={classes.empty}>Nothing has drifted from Git.</p>
      ) : (
        <ul className={classes.rows}>
          {drifts.map((each) => {
            const { app, drift } = each;
            const key = driftKey(each);
            const isOpen = open.includes(each);
            const what = `${drift.field ?? 'the object'} of ${drift.kind}/${drift.name}`;
            return (
              <li key={`${key} ${drift.at}`}>
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
                  {isOpen && (may.heal || may.accept) && (
                    <div className={classes.decide}>
                      {may.heal && (
                        <Button size="xs" aria-label={`Heal now: ${what}`} onClick={() => dialog({ heal: key })}>
                          Heal now…
                        </Button>
                      )}
                      {may.accept && app.stage && isAcceptable(each) && (
                        <Button size="xs" aria-label={`Accept ${what}`} onClick={() => dialog({ accept: key })}>
                          Accept…
                        </Button>
                      )}
                    </div>
                  )}
                </div>
                <span className={classes.right}>
                  {drift.manager ?? 'unknown hand'} · {drift.action}
                </span>
                <span className={classes.right}>
                  <When at={drift.at} suffix=" ago" />
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </Card>
  );
}
