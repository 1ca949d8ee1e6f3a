import { UnstyledButton } from '@mantine/core';
import type { Promotion } from '../../api/types';
import { Card } from '../../components/Card';
import { StepIcon } from '../../components/StepIcon';
import { useNow } from '../../lib/now';
import { exactSpan } from '../../lib/time';
import classes from './PromotionPage.module.css';
import { barOf, type StepRow, secondsOf, spanOf } from './steps';

export interface StepsCardProps {
  promotion: Promotion;
  rows: StepRow[];
  chosen: string | undefined;
  onChoose: (row: StepRow) => void;
}

/** The steps below each other, each with its time on a common scale. */
export function StepsCard({ promotion, rows, chosen, onChoose }: StepsCardProps) {
  const now = useNow();
  const scale = spanOf(promotion, now);
  const done = rows.filter((row) => row.state === 'Succeeded').length;
  return (
    <Card title="Steps" aside={`${done} of ${rows.length} done`}>
      <div className={classes.scale} aria-hidden="true">
        <span>Step</span>
        <span>Time</span>
        <span className={classes.ticks}>
          {scale && (
            <>
              <span>0s</span>
              <span>{exactSpan(scale.seconds / 2)}</span>
              <span>{exactSpan(scale.seconds)}</span>
            </>
          )}
        </span>
      </div>
      <ol className={classes.steps} aria-label="Steps">
        {rows.map((row) => {
          const bar = scale && barOf(row, scale, now);
          const seconds = secondsOf(row, now);
          return (
            <li key={row.key} data-step={row.key} data-state={row.state}>
              <UnstyledButton
                className={row.key === chosen ? `${classes.step} ${classes.chosen}` : classes.step}
                aria-current={row.key === chosen ? 'true' : undefined}
                onClick={() => onChoose(row)}
              >
                <span className={classes.what}>
                  <StepIcon state={row.state} />
                  <span className={classes.name}>
                    <span className={row.start || row.key === 'gates' ? undefined : classes.quiet}>{row.title}</span>
                    {row.detail && <small title={row.detail}>{row.detail}</small>}
                  </span>
                </span>
                <span className={classes.time}>{seconds === undefined ? '' : exactSpan(seconds)}</span>
                <span className={classes.track} aria-hidden="true">
                  {bar && (
                    <span
                      className={classes.bar}
                      data-state={row.state}
                      style={{ left: `${Math.min(bar.left, 99)}%`, width: `${bar.width}%` }}
                    />
                  )}
                </span>
              </UnstyledButton>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}
