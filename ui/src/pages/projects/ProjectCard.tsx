import { Button } from '@mantine/core';
import { IconChevronRight } from '@tabler/icons-react';
import { Link, type LinkProps } from '@tanstack/react-router';
import { Fragment } from 'react';
import type { ProjectSummary, StageCell } from '../../api/types';
import { Status } from '../../components/Status';
import { StatusIcon } from '../../components/StatusIcon';
import { statusLooks, statusWord } from '../../components/status';
import { When } from '../../components/When';
import { personName } from '../../lib/freight';
import { routes } from '../../paths';
import classes from './ProjectCard.module.css';

export interface ProjectCardProps {
  project: ProjectSummary;
}

/** One project: what runs in each Stage, one sentence, one action. */
export function ProjectCard({ project }: ProjectCardProps) {
  const action = project.status.nextAction;
  const last = project.lastPromotion;
  const titleId = `project-${project.name}`;
  return (
    <article className={classes.card} aria-labelledby={titleId} data-project={project.name}>
      <div className={classes.head}>
        <Link to={routes.pipeline} params={{ project: project.name }} className={classes.name} id={titleId}>
          {project.name}
        </Link>
        <span className={classes.status}>
          <Status status={project.status.word} pill />
        </span>
      </div>
      <div className={classes.flow}>
        {columns(project.stages).map((cells, i) => (
          <Fragment key={cells[0]?.key}>
            {i > 0 && <IconChevronRight size={12} className={classes.arrow} aria-hidden="true" />}
            <div className={classes.rank} style={{ flexGrow: cells.length }}>
              {cells.map((cell) => (
                <div className={classes.cell} key={cell.key}>
                  <span className={classes.stage} title={cell.label}>
                    {cell.label}
                  </span>
                  <span className={classes.version}>
                    <span title={cell.version}>{cell.version}</span>
                    <StatusIcon status={cell.status} size={13} label={cell.status} />
                  </span>
                </div>
              ))}
            </div>
          </Fragment>
        ))}
        {project.stages.length === 0 && <p className={classes.quiet}>No Stages yet.</p>}
      </div>
      <div className={classes.foot}>
        <span
          className={action ? classes.sentence : `${classes.sentence} ${classes.quiet}`}
          title={project.status.sentence}
        >
          {project.status.sentence}
        </span>
        {action ? (
          <Button
            size="xs"
            variant={project.status.word === 'Failed' || project.status.word === 'Waiting' ? 'filled' : 'default'}
            renderRoot={(props) => <Link {...target(project)} {...props} />}
            aria-label={`${action.label ?? 'Open'}: ${project.name}`}
          >
            {action.label ?? 'Open'}
          </Button>
        ) : (
          last && (
            <span className={classes.by}>
              <When at={last.at} suffix=" ago" />
              {last.automatic ? ', automatic' : last.by ? ` by ${personName(last.by)}` : ''}
            </span>
          )
        )}
      </div>
    </article>
  );
}

/** Where the card's button leads: to the Stage its command line names, with the dialog for its verb open. */
function target({ name: project, stages, status }: ProjectSummary): LinkProps {
  const action = status.nextAction;
  const last = action?.command?.split(' ').at(-1);
  const stage = stages.find((each) => last === `${project}/${each.name}`)?.name;
  if (stage === undefined) return { to: routes.pipeline, params: { project } };
  switch (action?.verb) {
    case 'promote':
      return { to: routes.pipeline, params: { project }, search: { promote: stage } };
    case 'rollback':
      return { to: routes.pipeline, params: { project }, search: { rollback: stage } };
    default:
      return { to: routes.stage, params: { project, stage } };
  }
}

interface Cell {
  key: string;
  label: string;
  version: string;
  status: string;
}

const mostSideBySide = 5;

/**
 * The Stages by rank, left to right. More than five side by side become one cell with their number, the
 * worst status among them and, when they all agree, their version.
 */
export function columns(stages: StageCell[]): Cell[][] {
  const ranks = new Map<number, StageCell[]>();
  for (const stage of stages) ranks.set(stage.rank, [...(ranks.get(stage.rank) ?? []), stage]);
  return [...ranks]
    .sort(([a], [b]) => a - b)
    .map(([rank, cells]) => {
      if (cells.length <= mostSideBySide) {
        return cells.map((cell) => ({
          key: cell.name,
          label: cell.name,
          version: cell.version ?? 'none',
          status: cell.status,
        }));
      }
      const versions = new Set(cells.map((cell) => cell.version ?? 'none'));
      const worst = cells
        .map((cell) => statusWord(cell.status))
        .sort((a, b) => statusLooks[a].severity - statusLooks[b].severity);
      return [
        {
          key: `rank-${rank}`,
          label: `${cells.length} stages`,
          version: versions.size === 1 ? ([...versions][0] ?? 'none') : `${versions.size} versions`,
          status: worst[0] ?? 'Unknown',
        },
      ];
    });
}
