import { Button, UnstyledButton } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import type { Freight, Pipeline, Stage, Verdict } from '../../api/types';
import { GateIcon } from '../../components/GateIcon';
import { Status, statusClass } from '../../components/Status';
import { StatusIcon } from '../../components/StatusIcon';
import { When } from '../../components/When';
import { versionOf } from '../../lib/freight';
import { useNow } from '../../lib/now';
import { useDialog } from '../../lib/search';
import { clock, instant } from '../../lib/time';
import { routes } from '../../paths';
import classes from './PipelineMatrix.module.css';

export interface PipelineMatrixProps {
  pipeline: Pipeline;
  /** Name of the selected Freight. */
  selected: string | undefined;
}

/** Every Freight with every Stage in one table: the same as the graph, for the keyboard and for reading aloud. */
export function PipelineMatrix({ pipeline, selected }: PipelineMatrixProps) {
  const stages = pipeline.stages.filter((stage) => !stage.controlFlow);
  const verdicts = useMemo(
    () => new Map(pipeline.verdicts.map((verdict) => [`${verdict.freight} ${verdict.stage}`, verdict])),
    [pipeline.verdicts],
  );
  if (pipeline.freight.length === 0) {
    return <p className={classes.empty}>No Freight yet. The first one appears when a Warehouse finds a version.</p>;
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard (WCAG 2.1.1)
    <section className={classes.scroll} tabIndex={0} aria-label="Pipeline matrix">
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">Freight, newest first</th>
            {stages.map((stage) => (
              <th scope="col" key={stage.name} data-stage-column={stage.name}>
                <Head stage={stage} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {pipeline.freight.map((freight) => (
            <tr key={freight.name} className={freight.name === selected ? classes.selected : undefined}>
              <th scope="row">
                <span className={classes.line}>
                  <span className={classes.version}>{versionOf(freight)}</span>
                  <span className={classes.alias}>{freight.alias}</span>
                  <span className={classes.age}>
                    <When at={freight.createdAt} />
                  </span>
                </span>
              </th>
              {stages.map((stage) => (
                <td key={stage.name} data-cell={`${stage.name} ${versionOf(freight)}`}>
                  <Cell freight={freight} stage={stage} verdict={verdicts.get(`${freight.name} ${stage.name}`)} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Head({ stage }: { stage: Stage }) {
  return (
    <>
      <span className={classes.line}>
        <Link to={routes.stage} params={{ project: stage.project, stage: stage.name }} className={classes.name}>
          {stage.name}
        </Link>
        <span className={classes.age}>
          <StatusIcon status={stage.status.word} size={16} label={stage.status.word} />
        </span>
      </span>
      <span className={classes.below}>
        {stage.freight ? versionOf(stage.freight) : 'no version yet'}
        {stage.behind > 0 && <span className={classes.age}>{stage.behind} behind</span>}
      </span>
    </>
  );
}

interface CellProps {
  freight: Freight;
  stage: Stage;
  verdict: Verdict | undefined;
}

/** What the server says about one Freight and one Stage. */
function Cell({ freight, stage, verdict }: CellProps) {
  const dialog = useDialog();
  const now = useNow();
  if (!verdict) return <span className={classes.quiet}>from elsewhere</span>;
  const place = freight.stages.find((each) => each.stage === stage.name);
  const first = verdict.closed[0];
  const why = () => dialog({ why: stage.name, with: freight.name });
  if (verdict.state === 'current') {
    return (
      <div className={`${classes.box} ${statusClass(stage.status.word)}`}>
        <Status status={stage.status.word} />
        <span className={classes.below}>
          {place?.enteredAt && (
            <>
              for <When at={place.enteredAt} />
            </>
          )}
        </span>
      </div>
    );
  }
  if (verdict.state === 'arriving') {
    return (
      <div className={`${classes.box} ${statusClass(first ? 'Waiting' : 'Progressing')}`}>
        <Status status={first ? 'Waiting' : 'Progressing'} />
        <UnstyledButton className={classes.why} onClick={why}>
          {first ? (first.reason ?? first.gate) : 'on its way'}
        </UnstyledButton>
      </div>
    );
  }
  if (verdict.failedThere) {
    return (
      <div className={`${classes.box} ${classes.hatched} ${statusClass('Failed')}`}>
        <Status status="Failed" />
        <UnstyledButton className={classes.why} onClick={why}>
          {first?.reason ?? 'failed here'}
        </UnstyledButton>
      </div>
    );
  }
  if (verdict.state === 'open' && !verdict.wasThere) {
    return (
      <div className={classes.can}>
        <span>Can go</span>
        <Button size="xs" onClick={() => dialog({ promote: stage.name, with: freight.name })}>
          Promote…
        </Button>
      </div>
    );
  }
  if (verdict.wasThere) {
    const [from, until] = [instant(place?.enteredAt), instant(place?.leftAt)];
    return (
      <span className={classes.quiet}>
        ran here
        <span className={classes.below}>
          {from && clock(from, now)}
          {until && ` – ${clock(until, now)}`}
        </span>
      </span>
    );
  }
  return (
    <UnstyledButton className={classes.why} onClick={why} title={verdict.closed.map((gate) => gate.reason).join('\n')}>
      {first && <GateIcon gate={first} size={14} />}
      <span>{first?.reason ?? first?.gate}</span>
      {verdict.closed.length > 1 && <span>+{verdict.closed.length - 1}</span>}
    </UnstyledButton>
  );
}
