import { UnstyledButton } from '@mantine/core';
import { IconArrowRight } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { Freight, Stage } from '../../api/types';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import { imageVersion, shortRepo, versionOf } from '../../lib/freight';
import { routes } from '../../paths';
import classes from './FreightRail.module.css';

export interface FreightRailProps {
  project: string;
  freight: Freight[];
  stages: Stage[];
  /** Name of the selected Freight. */
  selected: string | undefined;
  onSelect: (name: string | undefined) => void;
}

const shownChips = 3;

/** Every Freight that matters now, newest on the left. Choosing one turns the Stages' feet into its verdicts. */
export function FreightRail({ project, freight, stages, selected, onSelect }: FreightRailProps) {
  const statusOf = new Map(stages.map((stage) => [stage.name, stage.status.word]));
  if (freight.length === 0) {
    return <p className={classes.empty}>No Freight yet. The first one appears when a Warehouse finds a version.</p>;
  }
  return (
    <ul className={classes.rail} aria-label="Freight, newest first">
      {freight.map((each) => {
        const isSelected = each.name === selected;
        const rejection = each.rejections[0];
        const here = each.stages.filter((place) => place.current).map((place) => place.stage);
        const look = [
          classes.card,
          rejection && (rejection.stage === '*' || here.length === 0) ? classes.rejected : '',
          isSelected ? classes.selected : '',
        ].join(' ');
        return (
          <li key={each.name}>
            <UnstyledButton
              className={look}
              aria-pressed={isSelected}
              data-freight={each.name}
              data-version={versionOf(each)}
              onClick={() => onSelect(isSelected ? undefined : each.name)}
            >
              <span className={classes.line}>
                <span className={classes.version}>{versionOf(each)}</span>
                <span className={classes.alias} title={each.alias}>
                  {each.alias}
                </span>
                <span className={classes.age}>
                  <When at={each.createdAt} />
                </span>
              </span>
              {rejection ? (
                <span className={`${classes.what} ${classes.bad}`} title={rejection.reason}>
                  Rejected{rejection.stage === '*' ? '' : ` in ${rejection.stage}`}: {rejection.reason}
                </span>
              ) : (
                <span
                  className={classes.what}
                  title={each.images.map((i) => `${i.repoURL}:${imageVersion(i)}`).join('\n')}
                >
                  {contents(each)}
                </span>
              )}
              <span className={classes.where}>
                {here.slice(0, shownChips).map((stage) => (
                  <span className={classes.chip} key={stage}>
                    <StatusIcon status={statusOf.get(stage) ?? 'Unknown'} size={13} label={statusOf.get(stage)} />{' '}
                    {stage}
                  </span>
                ))}
                {here.length > shownChips && <span>+{here.length - shownChips}</span>}
                {here.length === 0 && 'not running anywhere'}
              </span>
            </UnstyledButton>
            <Link
              to={routes.freight}
              params={{ project, freight: each.name }}
              className={classes.more}
              aria-label={`Everything about ${versionOf(each)}`}
              title="Everything about it"
            >
              <IconArrowRight size={15} stroke={1.7} aria-hidden="true" />
            </Link>
          </li>
        );
      })}
    </ul>
  );
}

/** The images: the first by name, since its tag is the version above, the others with theirs. */
function contents(freight: Freight): string {
  return freight.images
    .map((image, i) => (i === 0 ? shortRepo(image.repoURL) : `${shortRepo(image.repoURL)} ${imageVersion(image)}`))
    .join(', ');
}
