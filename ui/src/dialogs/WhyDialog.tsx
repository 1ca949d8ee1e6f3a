import { Button, Modal } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { whyOptions } from '../api/queries';
import type { FreightInStage, Gate, Pipeline, Stage } from '../api/types';
import { CheckList } from '../components/Checks';
import { CopyBlock } from '../components/CopyBlock';
import { GateList } from '../components/GateList';
import { Skeleton } from '../components/Skeleton';
import { fullName, soakedIn, versionOf } from '../lib/freight';
import { useNow } from '../lib/now';
import { usePhone } from '../lib/phone';
import { useDialog } from '../lib/search';
import { span } from '../lib/time';
import { routes } from '../paths';
import { Failure } from './Note';
import classes from './WhyDialog.module.css';

export interface WhyDialogProps {
  pipeline: Pipeline;
  stage: Stage;
  /** Name of the Freight that is asked about. */
  freight: string;
}

/**
 * Every gate between one Freight and one Stage. The closed ones come from the live pipeline and change while
 * one looks; the open ones with their reasons are asked for once.
 */
export function WhyDialog({ pipeline, stage, freight }: WhyDialogProps) {
  const dialog = useDialog();
  const isPhone = usePhone();
  const why = useQuery(whyOptions(pipeline.project, stage.name, freight));
  const verdict = pipeline.verdicts.find((each) => each.stage === stage.name && each.freight === freight);
  const known = pipeline.freight.find((each) => each.name === freight) ?? why.data?.freight;
  const version = known ? versionOf(known) : freight.slice(0, 7);

  const closed = verdict?.closed ?? why.data?.gates.filter((gate) => !gate.open) ?? [];
  const closedNames = new Set(closed.map((gate) => gate.gate));
  const open = why.data?.gates.filter((gate) => gate.open && !closedNames.has(gate.gate)) ?? [];
  const been = pipeline.freight.find((each) => each.name === freight)?.stages ?? [];
  const now = useNow();
  const state = verdict?.state ?? why.data?.state;
  const asking = stage.pendingPromotions?.find(
    (each) => each.freight?.name === freight && each.gates?.some((gate) => gate.gate === 'approval' && !gate.open),
  );

  return (
    <Modal
      opened
      onClose={() => dialog()}
      title={
        <span className={classes.title} tabIndex={-1} data-autofocus>
          {heading(state, version, stage.name)}
        </span>
      }
      closeButtonProps={{ 'aria-label': 'Close' }}
      size={560}
      fullScreen={isPhone}
      lockScroll={false}
      radius={isPhone ? 0 : 12}
      transitionProps={{ duration: 0 }}
    >
      <p className={classes.lead}>
        <Link to={routes.freight} params={{ project: pipeline.project, freight }} className={classes.link}>
          {known ? fullName(known) : freight}
        </Link>
        : {count(closed)}
      </p>
      {closed.length > 0 && <GateList gates={closed} label="Closed gates" />}
      {open.length > 0 && (
        <>
          <h3 className={classes.heading}>Open</h3>
          <GateList gates={open} label="Open gates" />
        </>
      )}
      {why.data?.verifications?.map((run) => (
        <section key={run.stage} aria-label={`Checks in ${run.stage}`}>
          <h3 className={classes.heading}>
            Checks in {run.stage}
            {run.run > 1 && `, run ${run.run}`}
          </h3>
          <CheckList project={pipeline.project} run={run} stage={undefined} />
        </section>
      ))}
      {been.length > 0 && (
        <section aria-label="Where it has been">
          <h3 className={classes.heading}>Where it has been</h3>
          <ul className={classes.been}>
            {been.map((each) => (
              <li key={each.stage} data-been={each.stage}>
                <strong>{each.stage}</strong> {beenText(each, now)}
              </li>
            ))}
          </ul>
        </section>
      )}
      {why.isPending && <Skeleton height={80} />}
      {why.isError && <Failure error={why.error} />}
      <div className={classes.command}>
        <CopyBlock label="Command" text={`waybill why ${version} ${pipeline.project}/${stage.name}`} />
      </div>
      <div className={classes.buttons}>
        <Button data-size="md" onClick={() => dialog()}>
          Close
        </Button>
        {asking && (
          <Button data-size="md" variant="filled" onClick={() => dialog({ review: asking.name })}>
            Review…
          </Button>
        )}
        {state === 'open' && (
          <Button data-size="md" variant="filled" onClick={() => dialog({ promote: stage.name, with: freight })}>
            Promote…
          </Button>
        )}
      </div>
    </Modal>
  );
}

function heading(state: string | undefined, version: string, stage: string): string {
  switch (state) {
    case 'current':
      return `${version} runs in ${stage}`;
    case 'arriving':
      return `${version} is on its way into ${stage}`;
    case 'open':
      return `${version} may go into ${stage}`;
    default:
      return `Why ${version} is not in ${stage}`;
  }
}

function count(closed: Gate[]): string {
  if (closed.length === 0) return 'no gate is closed.';
  return closed.length === 1 ? '1 gate is closed.' : `${closed.length} gates are closed.`;
}

/** Whether a Freight is verified in a Stage, and how long it ran well there without a break that counts. */
export function beenText(in_: FreightInStage, now: Date): string {
  const parts = [in_.current ? 'runs there' : 'was there'];
  parts.push(in_.verifiedAt ? 'verified' : 'not verified');
  const soaked = soakedIn(in_, now);
  if (soaked >= 1) parts.push(`soaked ${span(soaked)}`);
  return parts.join(', ');
}
