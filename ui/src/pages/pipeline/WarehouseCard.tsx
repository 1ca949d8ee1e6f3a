import { Button } from '@mantine/core';
import {
  IconAlertTriangleFilled,
  IconBrandDocker,
  IconGitBranch,
  IconPackage,
  IconTopologyStar3,
} from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { usePermissions, useRefresh } from '../../api/queries';
import type { Warehouse } from '../../api/types';
import { When } from '../../components/When';
import { shownSubscriptions } from '../../graph/model';
import { shortRepo } from '../../lib/freight';
import { routes } from '../../paths';
import classes from './WarehouseCard.module.css';

export interface WarehouseCardProps {
  warehouse: Warehouse;
}

/** What kind of repository is watched. */
function TypeIcon({ type }: { type: Warehouse['subscriptions'][number]['type'] }) {
  const Icon = { image: IconBrandDocker, git: IconGitBranch, chart: IconTopologyStar3 }[type];
  return <Icon size={15} stroke={1.6} aria-hidden="true" />;
}

/** Where Freight comes from: what is watched, when it was looked at, and what stops it. */
export function WarehouseCard({ warehouse }: WarehouseCardProps) {
  const refresh = useRefresh(warehouse.project, warehouse.name);
  const mayRefresh = usePermissions(warehouse.project).data?.refresh ?? false;
  const subscriptions = warehouse.subscriptions;
  const rest = subscriptions.length - shownSubscriptions;
  const failing = subscriptions.find((each) => each.error);
  const trouble = failing?.error ?? (warehouse.ready ? undefined : warehouse.message);
  const lastPoll = subscriptions
    .map((each) => each.lastPoll ?? '')
    .sort()
    .at(-1);
  return (
    <article className={classes.card} aria-label={`Warehouse ${warehouse.name}`} data-warehouse={warehouse.name}>
      <div className={classes.head}>
        <IconPackage size={16} stroke={1.8} aria-hidden="true" />
        <Link
          to={routes.sources}
          params={{ project: warehouse.project }}
          className={`nodrag nopan ${classes.name}`}
          title={`${warehouse.name}: what it watches`}
        >
          {warehouse.name}
        </Link>{' '}
        <span>warehouse</span>
      </div>
      <ul className={classes.list} aria-label="Subscriptions">
        {subscriptions.slice(0, shownSubscriptions).map((each) => (
          <li
            key={`${each.type} ${each.repoURL} ${each.chart ?? ''}`}
            title={each.error ? `${each.repoURL}: ${each.error}` : each.repoURL}
          >
            {each.error ? (
              <IconAlertTriangleFilled size={15} color="var(--st-bad)" aria-label="failing" />
            ) : (
              <TypeIcon type={each.type} />
            )}
            <span className={classes.repo}>{each.chart ?? twoParts(each.repoURL)}</span>
          </li>
        ))}
        {rest > 0 && <li>and {rest} more</li>}
      </ul>
      <div className={classes.foot}>
        {refresh.isError ? (
          <span className={`${classes.footText} ${classes.bad}`} title={refresh.error.message}>
            {refresh.error.message}
          </span>
        ) : trouble ? (
          <span className={`${classes.footText} ${classes.bad}`} title={trouble}>
            {trouble}
          </span>
        ) : (
          <span className={classes.footText}>
            {lastPoll ? (
              <>
                checked <When at={lastPoll} suffix=" ago" />
              </>
            ) : (
              'not checked yet'
            )}
          </span>
        )}
        {mayRefresh && (
          <Button
            className="nodrag nopan"
            size="xs"
            variant="subtle"
            loading={refresh.isPending}
            onClick={() => refresh.mutate()}
          >
            Refresh
          </Button>
        )}
      </div>
    </article>
  );
}

/** The last two parts of a repository: "acme/checkout-api". */
function twoParts(repoURL: string): string {
  const parts = repoURL.replace(/\/+$/, '').split('/');
  return parts.length > 2 ? parts.slice(-2).join('/') : shortRepo(repoURL);
}
