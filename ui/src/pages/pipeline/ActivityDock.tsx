import { Link } from '@tanstack/react-router';
import type { Activity } from '../../api/types';
import { Avatar } from '../../components/Avatar';
import { PhaseIcon } from '../../components/PhaseIcon';
import { When } from '../../components/When';
import { personName } from '../../lib/freight';
import { routes } from '../../paths';
import classes from './Activity.module.css';

export interface ActivityDockProps {
  project: string;
  activity: Activity[];
  /** How many are shown. */
  most: number;
}

/** What happened last, one line each. */
export function ActivityDock({ project, activity, most }: ActivityDockProps) {
  if (activity.length === 0) return null;
  return (
    <section className={classes.dock} aria-label="Activity">
      <h2 className={classes.title}>Activity</h2>
      <ul className={classes.list}>
        {activity.slice(0, most).map((each) => (
          <li key={each.promotion} data-promotion={each.promotion} data-phase={each.phase}>
            <span className={classes.at}>
              <When at={each.at} />
            </span>
            <PhaseIcon phase={each.phase} />
            <Avatar name={each.automatic ? 'waybill' : personName(each.by)} size={20} />
            <span className={classes.text} title={each.sentence}>
              <Link to={routes.promotion} params={{ project, promotion: each.promotion }} className={classes.link}>
                {each.sentence}
              </Link>{' '}
              {!each.automatic && each.by && <span className={classes.by}>{personName(each.by)}</span>}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
