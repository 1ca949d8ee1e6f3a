import { Button } from '@mantine/core';
import { usePermissions } from '../../api/queries';
import type { Freight } from '../../api/types';
import { Card } from '../../components/Card';
import { When } from '../../components/When';
import { personName } from '../../lib/freight';
import { useDialog } from '../../lib/search';
import classes from './FreightPage.module.css';

export interface RejectionsCardProps {
  project: string;
  freight: Freight;
}

/** Who keeps this Freight out of which Stage, and why; nothing when nobody does. */
export function RejectionsCard({ project, freight }: RejectionsCardProps) {
  const dialog = useDialog();
  const permissions = usePermissions(project).data;
  if (freight.rejections.length === 0) return null;
  return (
    <Card title="Rejected">
      <ul className={classes.rows} aria-label="Rejections">
        {freight.rejections.map((each) => {
          const isAll = each.stage === '*';
          const mayEnd = isAll
            ? permissions?.freezeAll
            : permissions?.stages?.find((stage) => stage.stage === each.stage)?.freeze;
          return (
            <li key={each.name} data-rejection={each.name}>
              <div className={classes.head}>
                <span className={classes.stage}>{isAll ? 'every Stage' : each.stage}</span>
                <span className={classes.muted}>
                  by {personName(each.by)}, <When at={each.createdAt} suffix=" ago" />
                </span>
                {mayEnd && (
                  <Button size="xs" className={classes.end} onClick={() => dialog({ thaw: each.name })}>
                    Take back…
                  </Button>
                )}
              </div>
              <p>{each.reason}</p>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}
