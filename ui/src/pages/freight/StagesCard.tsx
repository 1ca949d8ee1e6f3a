import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { Freight, FreightInStage, Pipeline, Stage, Verdict } from '../../api/types';
import { Card } from '../../components/Card';
import { GateIcon } from '../../components/GateIcon';
import { StepIcon } from '../../components/StepIcon';
import { When } from '../../components/When';
import { soakedIn } from '../../lib/freight';
import { useNow } from '../../lib/now';
import { useDialog } from '../../lib/search';
import { span } from '../../lib/time';
import { routes } from '../../paths';
import classes from './FreightPage.module.css';

export interface StagesCardProps {
  pipeline: Pipeline;
  freight: Freight;
}

/** Every Stage that takes this Freight, in the order of the pipeline: whether it was there, and what stops it. */
export function StagesCard({ pipeline, freight }: StagesCardProps) {
  const verdicts = new Map(
    pipeline.verdicts.filter((each) => each.freight === freight.name).map((each) => [each.stage, each]),
  );
  const places = new Map(freight.stages.map((each) => [each.stage, each]));
  const stages = pipeline.stages.filter((stage) => verdicts.has(stage.name) || places.has(stage.name));
  return (
    <Card title="Where it is and was">
      {stages.length === 0 && (
        <p className={classes.empty}>
          It is in no Stage, and it is not among the versions that the pipeline still looks at. <code>waybill why</code>{' '}
          says what stops it.
        </p>
      )}
      <ul className={classes.rows} aria-label="Stages">
        {stages.map((stage) => (
          <Row
            key={stage.name}
            stage={stage}
            freight={freight}
            place={places.get(stage.name)}
            verdict={verdicts.get(stage.name)}
          />
        ))}
      </ul>
    </Card>
  );
}

interface RowProps {
  stage: Stage;
  freight: Freight;
  place: FreightInStage | undefined;
  verdict: Verdict | undefined;
}

function Row({ stage, freight, place, verdict }: RowProps) {
  const dialog = useDialog();
  const closed = verdict?.closed ?? [];
  const state = place?.current
    ? 'runs here'
    : verdict?.state === 'arriving'
      ? 'on its way'
      : place
        ? 'was here'
        : 'not here yet';
  return (
    <li data-place={stage.name} data-state={state}>
      <div className={classes.head}>
        <Link to={routes.stage} params={{ project: stage.project, stage: stage.name }} className={classes.stage}>
          {stage.name}
        </Link>
        <span className={classes.muted}>{state}</span>
        {verdict && (
          <Button
            size="xs"
            variant="subtle"
            className={classes.end}
            aria-label={`All gates of ${stage.name}`}
            onClick={() => dialog({ why: stage.name, with: freight.name })}
          >
            All gates
          </Button>
        )}
        {verdict?.state === 'open' && (
          <Button
            size="xs"
            className={verdict ? '' : classes.end}
            aria-label={`Promote into ${stage.name}`}
            onClick={() => dialog({ promote: stage.name, with: freight.name })}
          >
            Promote…
          </Button>
        )}
      </div>
      {place && <Facts place={place} />}
      {!place?.current &&
        closed.map((gate) => (
          <p key={gate.gate} className={classes.gate} data-gate={gate.gate}>
            <GateIcon gate={gate} size={14} /> <span>{gate.reason}</span>
          </p>
        ))}
    </li>
  );
}

/** What a Stage has recorded of the Freight. */
function Facts({ place }: { place: FreightInStage }) {
  const now = useNow();
  const soaked = soakedIn(place, now);
  return (
    <dl className={classes.facts}>
      {place.enteredAt && (
        <div>
          <dt>Entered</dt>
          <dd>
            <When at={place.enteredAt} suffix=" ago" />
          </dd>
        </div>
      )}
      {place.leftAt && (
        <div>
          <dt>Left</dt>
          <dd>
            <When at={place.leftAt} suffix=" ago" />
          </dd>
        </div>
      )}
      <div>
        <dt>Verified</dt>
        <dd>{place.verifiedAt ? <When at={place.verifiedAt} suffix=" ago" /> : 'no'}</dd>
      </div>
      {soaked >= 1 && (
        <div>
          <dt>Soaked</dt>
          <dd>
            {span(soaked)}
            {place.soakingSince && ', and goes on'}
          </dd>
        </div>
      )}
      {place.checks && (
        <div className={classes.checks}>
          <dt>Checks</dt>
          <dd>
            <StepIcon state={place.checks} /> {place.checks}
            {place.checksMessage && <small>{place.checksMessage}</small>}
          </dd>
        </div>
      )}
    </dl>
  );
}
