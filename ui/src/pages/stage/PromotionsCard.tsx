import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { Activity, Phase, Promotion, Stage } from '../../api/types';
import { Card } from '../../components/Card';
import { PhaseIcon } from '../../components/PhaseIcon';
import { Skeleton } from '../../components/Skeleton';
import { When } from '../../components/When';
import { personName, versionOf } from '../../lib/freight';
import { instant, span } from '../../lib/time';
import { routes } from '../../paths';
import classes from './StagePage.module.css';

export interface PromotionsCardProps {
  stage: Stage;
  /** The latest of this Stage as they were when the page was opened; undefined while loading. */
  promotions: Promotion[] | undefined;
  /** The live activity of the project, newest first. */
  activity: Activity[];
  error: unknown;
  onRetry: () => void;
  /** Opens the dialog that tries the last Promotion again; undefined for who may not promote. */
  onRetryPromotion: ((row: PromotionRow) => void) | undefined;
}

/** The latest Promotions of a Stage. The list is fetched once, the project's live activity keeps it true. */
export function PromotionsCard({ stage, promotions, activity, error, onRetry, onRetryPromotion }: PromotionsCardProps) {
  const rows = promotionRows(stage, promotions ?? [], activity).slice(0, 10);
  return (
    <Card title="Last promotions">
      {rows.length > 0 && (
        <ul className={classes.rows}>
          {rows.map((row, at) => (
            <li key={row.name} data-promotion={row.name} data-phase={row.phase}>
              <PhaseIcon phase={row.phase} size={16} />
              <Link
                to={routes.promotion}
                params={{ project: stage.project, promotion: row.name }}
                className={classes.strong}
              >
                {row.version}
              </Link>
              <span className={classes.grow}>
                {row.kind === 'Rollback' ? 'rollback ' : ''}
                {row.by}
                {row.note && <small>{row.note}</small>}
              </span>
              {at === 0 && row.mayRetry && onRetryPromotion && (
                <Button size="xs" onClick={() => onRetryPromotion(row)}>
                  Retry…
                </Button>
              )}
              {row.seconds !== undefined && <span className={classes.right}>{span(row.seconds)}</span>}
              <span className={classes.right}>
                <When at={row.at} suffix=" ago" />
              </span>
            </li>
          ))}
        </ul>
      )}
      {Boolean(error) && (
        <p className={classes.empty}>
          Older promotions could not be loaded: {error instanceof Error ? error.message : String(error)}{' '}
          <Button size="xs" onClick={onRetry}>
            Try again
          </Button>
        </p>
      )}
      {!promotions && !error && <Skeleton height={120} />}
      {promotions && rows.length === 0 && <p className={classes.empty}>Nothing was promoted into this Stage yet.</p>}
    </Card>
  );
}

export interface PromotionRow {
  name: string;
  version: string;
  kind: 'Promote' | 'Rollback';
  phase: Phase;
  by: string;
  at: string;
  note: string | undefined;
  /** Name of its Freight, and whether it is one to try again; known of what was fetched. */
  freight?: string | undefined;
  mayRetry?: boolean | undefined;
  /** How long it took; undefined while it runs, or when only its activity is known. */
  seconds: number | undefined;
}

/** Fetched Promotions with everything that is live laid over them, newest first. */
export function promotionRows(stage: Stage, fetched: Promotion[], activity: Activity[]): PromotionRow[] {
  const rows = new Map<string, PromotionRow>();
  for (const promotion of fetched) rows.set(promotion.name, fromPromotion(promotion));
  for (const each of activity) {
    if (each.stage !== stage.name) continue;
    const known = rows.get(each.promotion);
    if (known && known.phase === each.phase) continue; // what was fetched says more
    rows.set(each.promotion, {
      name: each.promotion,
      version: each.version ?? '',
      kind: each.kind,
      phase: each.phase,
      by: each.automatic ? 'automatic' : personName(each.by),
      at: known?.at ?? each.at,
      note: each.sentence,
      seconds: undefined,
    });
  }
  for (const promotion of [stage.activePromotion, ...(stage.pendingPromotions ?? [])]) {
    if (promotion) rows.set(promotion.name, fromPromotion(promotion));
  }
  return [...rows.values()].sort((a, b) => b.at.localeCompare(a.at));
}

function fromPromotion(promotion: Promotion): PromotionRow {
  const freight = promotion.kind === 'Rollback' ? (promotion.to ?? promotion.freight) : promotion.freight;
  const [start, end] = [instant(promotion.startedAt), instant(promotion.finishedAt)];
  return {
    name: promotion.name,
    version: freight ? versionOf(freight) : '',
    kind: promotion.kind,
    phase: promotion.phase,
    by: promotion.automatic ? 'automatic' : personName(promotion.requestedBy),
    at: promotion.createdAt,
    note: promotion.phase === 'Succeeded' ? promotion.requestReason : (promotion.message ?? promotion.requestReason),
    freight: promotion.freight?.name,
    mayRetry: promotion.mayRetry && promotion.kind === 'Promote',
    seconds: start && end ? (end.getTime() - start.getTime()) / 1000 : undefined,
  };
}
