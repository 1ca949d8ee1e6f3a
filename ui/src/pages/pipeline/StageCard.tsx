import { IconBolt, IconHandStop, IconPlayerPause, IconSnowflake } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { Stage, Verdict } from '../../api/types';
import { Status, statusClass } from '../../components/Status';
import { When } from '../../components/When';
import { fullName, versionOf } from '../../lib/freight';
import { routes } from '../../paths';
import classes from './StageCard.module.css';
import { StageFoot } from './StageFoot';
import { StageMenu } from './StageMenu';

export interface StageCardProps {
  stage: Stage;
  /** Set while a Freight is selected: the verdict about it, or null when this Stage never takes it. */
  verdict?: Verdict | null;
}

/** One Stage: what runs, how it is, what is next. Every word comes from the server. */
export function StageCard({ stage, verdict }: StageCardProps) {
  const freight = stage.freight;
  const place = stage.destinations[0];
  const more = stage.destinations.length - 1;
  const classNames = [classes.card, statusClass(stage.status.word), verdict?.state === 'open' ? classes.candidate : ''];
  return (
    <article
      className={classNames.join(' ')}
      aria-label={`Stage ${stage.name}, ${stage.status.word}`}
      data-stage={stage.name}
      data-status={stage.status.word}
      data-version={freight ? versionOf(freight) : ''}
    >
      <div className={classes.body}>
        <div className={`${classes.line} ${classes.middle}`}>
          <Link
            to={routes.stage}
            params={{ project: stage.project, stage: stage.name }}
            className={classes.name}
            title={stage.name}
          >
            {stage.name}
          </Link>
          <Mode stage={stage} />
          <StageMenu stage={stage} />
        </div>
        <div className={classes.line}>
          {freight ? (
            <>
              <span className={classes.version}>{versionOf(freight)}</span>
              <span className={classes.alias} title={fullName(freight)}>
                {freight.alias}
              </span>
              <span className={classes.since}>
                <When at={freight.since} />
              </span>
            </>
          ) : (
            <span className={classes.alias}>no version yet</span>
          )}
        </div>
        <div className={`${classes.line} ${classes.middle}`}>
          <Status status={stage.status.word} />
          <span className={classes.detail} title={stage.status.sentence}>
            {stage.status.sentence}
          </span>
        </div>
        {place && (
          <div className={classes.place}>
            {place.cluster} · {place.namespace}
            {more > 0 && ` and ${more} more`}
          </div>
        )}
      </div>
      <StageFoot stage={stage} verdict={verdict} />
    </article>
  );
}

function Mode({ stage }: { stage: Stage }) {
  if (stage.frozen) {
    return (
      <span className={classes.mode} title={stage.freezes?.find((each) => each.shownAs === 'freeze')?.reason}>
        <IconSnowflake size={13} stroke={1.8} color="var(--st-ice)" aria-hidden="true" /> frozen
      </span>
    );
  }
  if (stage.held) {
    return (
      <span className={classes.mode} title={stage.freezes?.find((each) => each.shownAs === 'hold')?.reason}>
        <IconPlayerPause size={13} stroke={1.8} aria-hidden="true" /> held
      </span>
    );
  }
  return stage.auto ? (
    <span className={classes.mode}>
      <IconBolt size={13} stroke={1.8} aria-hidden="true" /> auto
    </span>
  ) : (
    <span className={classes.mode}>
      <IconHandStop size={13} stroke={1.8} aria-hidden="true" /> manual
    </span>
  );
}
