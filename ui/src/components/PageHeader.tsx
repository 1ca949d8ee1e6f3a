import { IconArrowLeft } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect } from 'react';
import { routes } from '../paths';
import { LivePill } from './LivePill';
import classes from './PageHeader.module.css';

export interface PageHeaderProps {
  title: string;
  /** The project this page is about; absent on the list of projects. */
  project?: string;
  /** Draws the project as a step of its own before the title. */
  underProject?: boolean;
  /** Buttons at the right; on a phone a row of their own below. */
  actions?: ReactNode;
  children?: ReactNode;
}

/** The class of a button in `actions` that is an icon only; give it an aria-label and a title. */
export const headerIcon = classes.icon;

/** Where one is, whether the page is live, and what can be done. Sets the tab's title. */
export function PageHeader({ title, project, underProject = false, actions, children }: PageHeaderProps) {
  useEffect(() => {
    document.title = [title, underProject ? project : undefined, 'Waybill'].filter(Boolean).join(' · ');
  }, [title, project, underProject]);

  return (
    <header className={classes.header}>
      <div className={classes.top}>
        {underProject && project ? (
          <Link to={routes.pipeline} params={{ project }} className={classes.back} aria-label={`Back to ${project}`}>
            <IconArrowLeft size={22} aria-hidden="true" />
          </Link>
        ) : (
          project && (
            <Link to={routes.projects} className={classes.back} aria-label="Back to projects">
              <IconArrowLeft size={22} aria-hidden="true" />
            </Link>
          )
        )}
        <nav className={classes.crumbs} aria-label="Breadcrumb">
          <ol>
            {project && (
              <li>
                <Link to={routes.projects} className={classes.crumb}>
                  Projects
                </Link>
              </li>
            )}
            {project && underProject && (
              <li>
                <Link to={routes.pipeline} params={{ project }} className={classes.crumb}>
                  {project}
                </Link>
              </li>
            )}
            <li>
              <h1 className={classes.title} title={title}>
                {title}
              </h1>
            </li>
          </ol>
        </nav>
        <LivePill />
        {actions && <div className={classes.actions}>{actions}</div>}
      </div>
      {children && <div className={classes.below}>{children}</div>}
    </header>
  );
}
