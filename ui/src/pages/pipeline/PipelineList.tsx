import { IconArrowDown } from '@tabler/icons-react';
import type { Pipeline, Stage, Verdict } from '../../api/types';
import { GatePill } from '../../components/GatePill';
import { useDialog } from '../../lib/search';
import classes from './PipelineList.module.css';
import { StageCard } from './StageCard';
import { WarehouseCard } from './WarehouseCard';

export interface PipelineListProps {
  pipeline: Pipeline;
  verdicts: Map<string, Verdict> | undefined;
}

/** The same Stages as the graph in reading order: what a phone shows, and the twin for who cannot use the picture. */
export function PipelineList({ pipeline, verdicts }: PipelineListProps) {
  const dialog = useDialog();
  return (
    <section className={classes.list} aria-label="Pipeline list">
      <div className={classes.columns}>
        {pipeline.warehouses.map((warehouse) => (
          <WarehouseCard key={warehouse.name} warehouse={warehouse} />
        ))}
      </div>
      {ranks(pipeline.stages).map(({ rank, stages }) => (
        <div className={classes.columns} key={rank}>
          {stages.map((stage) => {
            const into = pipeline.edges.filter((edge) => edge.to === stage.name);
            return (
              <div className={classes.step} key={stage.name}>
                {into.map((edge) => (
                  <div className={classes.guard} key={`${edge.fromKind}/${edge.from}`}>
                    <IconArrowDown size={14} aria-hidden="true" />
                    <span>from {edge.from}</span>
                    <GatePill
                      edge={edge}
                      onWhy={edge.freight ? () => dialog({ why: edge.to, with: edge.freight }) : undefined}
                    />
                  </div>
                ))}
                <StageCard stage={stage} verdict={verdicts && (verdicts.get(stage.name) ?? null)} />
              </div>
            );
          })}
        </div>
      ))}
    </section>
  );
}

/** Stages side by side share a row. */
function ranks(stages: Stage[]): { rank: number; stages: Stage[] }[] {
  const rows = new Map<number, Stage[]>();
  for (const stage of stages) rows.set(stage.rank, [...(rows.get(stage.rank) ?? []), stage]);
  return [...rows].sort(([a], [b]) => a - b).map(([rank, row]) => ({ rank, stages: row }));
}
