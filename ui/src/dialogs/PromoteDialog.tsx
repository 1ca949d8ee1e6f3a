import { Button, Checkbox, TextInput } from '@mantine/core';
import { IconArrowRight, IconGitCommit, IconHourglassHigh } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useId, useState } from 'react';
import { Problem } from '../api/problem';
import { planOptions, usePromote, useStagePermissions } from '../api/queries';
import type { Gate, Pipeline, Plan, Stage, Verdict } from '../api/types';
import { DiffView } from '../components/DiffView';
import { ErrorState } from '../components/ErrorState';
import { GateList } from '../components/GateList';
import { Skeleton } from '../components/Skeleton';
import { Status } from '../components/Status';
import { useToast } from '../components/toast';
import { When } from '../components/When';
import { fullName, shortRepo, versionOf } from '../lib/freight';
import { useDialog } from '../lib/search';
import { useLiveState } from '../live/live';
import { Manifests, Warnings } from '../review/PlanParts';
import { Choices } from './Choices';
import { ImageTable } from './ImageTable';
import { Failure, Note } from './Note';
import { Sheet } from './Sheet';
import classes from './Sheet.module.css';

export interface PromoteDialogProps {
  pipeline: Pipeline;
  stage: Stage;
  /** Name of the chosen Freight. */
  freight: string | undefined;
  /** Name of the Promotion of that Freight that is tried again. */
  retry?: string | undefined;
}

type Bypass = 'upstream' | 'soak' | 'rejected' | 'freeze';
const bypassable = new Set<string>(['upstream', 'soak', 'rejected', 'freeze']);

/** Chooses a Freight for a Stage, shows what would change and which gates are closed, and asks for it. */
export function PromoteDialog({ pipeline, stage, freight, retry }: PromoteDialogProps) {
  const dialog = useDialog();
  const toast = useToast();
  const { phase } = useLiveState();
  const permissions = useStagePermissions(pipeline.project, stage.name);
  const promote = usePromote(pipeline.project, stage.name, retry);
  const [reason, setReason] = useState('');
  const [isPassing, setPassing] = useState(false);
  const selectId = useId();

  const verdicts = new Map<string, Verdict>(
    pipeline.verdicts.filter((each) => each.stage === stage.name).map((each) => [each.freight, each]),
  );
  const choices = pipeline.freight.filter((each) => verdicts.has(each.name));
  const chosen = choices.find((each) => each.name === freight);
  const plan = useQuery({
    ...planOptions(pipeline.project, stage.name, freight ?? ''),
    enabled: freight !== undefined,
  });

  const closedEntry = plan.data?.gates.filter((gate) => !gate.open && gate.group === 'Entry') ?? [];
  const passed = plan.data && !plan.data.mayPromote && isPassing ? passable(plan.data.gates) : [];
  const obstacle = whyNotNow({
    isLive: phase === 'live' || phase === 'connecting',
    mayPromote: permissions?.promote ?? true,
    plan: plan.data,
    isPassing,
    reason,
    stage: stage.name,
  });
  const isChanged = promote.error instanceof Problem && promote.error.code === 'plan-changed';
  const version = chosen ? versionOf(chosen) : plan.data ? versionOf(plan.data.freight) : '';

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isChanged) {
      promote.reset();
      plan.refetch();
      return;
    }
    if (obstacle !== undefined || freight === undefined) return;
    promote.mutate(
      {
        freight,
        ...(plan.data?.planHash && { planHash: plan.data.planHash }),
        ...(reason.trim() && { reason: reason.trim() }),
        ...(passed.length > 0 && { bypass: passed }),
      },
      {
        onSuccess: () => {
          dialog();
          toast(`Promotion of ${version} into ${stage.name} was accepted.`);
        },
      },
    );
  };

  return (
    <Sheet
      title={retry ? `Retry ${retry}` : `Promote into ${stage.name}`}
      badge={<Status status={stage.status.word} pill />}
      aside={
        stage.freight && (
          <>
            {versionOf(stage.freight)} runs here for <When at={stage.freight.since} />
          </>
        )
      }
      onClose={() => dialog()}
      left={
        <>
          <div className={classes.field}>
            <label className={classes.label} htmlFor={selectId}>
              Stage
            </label>
            <select
              id={selectId}
              className={classes.select}
              value={stage.name}
              onChange={(event) => dialog({ promote: event.target.value, with: freight })}
            >
              {pipeline.stages
                .filter((each) => !each.controlFlow)
                .map((each) => (
                  <option key={each.name}>{each.name}</option>
                ))}
            </select>
          </div>
          <Choices legend="Version" count={choices.length} isChosen={chosen !== undefined}>
            {choices.map((each) => (
              <label className={classes.choice} key={each.name} data-version={versionOf(each)}>
                <input
                  type="radio"
                  name="freight"
                  checked={each.name === freight}
                  onChange={() => dialog({ promote: stage.name, with: each.name })}
                />
                <span className={classes.choiceBody}>
                  <span className={classes.choiceLine}>
                    <strong>{versionOf(each)}</strong> <span className={classes.muted}>{each.alias}</span>
                    <span className={`${classes.muted} ${classes.push}`}>
                      <When at={each.createdAt} />
                    </span>
                  </span>
                  <VerdictLine verdict={verdicts.get(each.name)} />
                </span>
              </label>
            ))}
            {choices.length === 0 && <p className={classes.muted}>There is no Freight this Stage may take yet.</p>}
          </Choices>
        </>
      }
      right={
        freight === undefined ? (
          <p className={classes.muted}>Choose a version to see what would change.</p>
        ) : plan.isError ? (
          <ErrorState error={plan.error} what="The plan" onRetry={() => plan.refetch()} />
        ) : plan.data ? (
          <PlanView plan={plan.data} stage={stage} closedEntry={closedEntry} />
        ) : (
          <section aria-busy="true" aria-label="Working out what changes">
            <Skeleton height={320} />
          </section>
        )
      }
      foot={
        <form onSubmit={submit}>
          {promote.isError && <Failure error={promote.error} />}
          {plan.data &&
            !plan.data.mayPromote &&
            (permissions?.bypass ?? false) &&
            passable(plan.data.gates).length > 0 && (
              <Checkbox
                mb={12}
                checked={isPassing}
                onChange={(event) => setPassing(event.currentTarget.checked)}
                label={`Pass ${passable(plan.data.gates).join(', ')} anyway; it is recorded with your reason`}
              />
            )}
          <div className={classes.act}>
            <TextInput
              className={classes.grow}
              aria-label="Reason"
              placeholder={
                isPassing ? 'Reason (required)' : retry ? 'Reason (that of the first when empty)' : 'Reason (optional)'
              }
              maxLength={1024}
              value={reason}
              onChange={(event) => setReason(event.currentTarget.value)}
            />
            <Button data-size="md" onClick={() => dialog()}>
              Cancel
            </Button>
            <Button
              data-size="md"
              type="submit"
              variant="filled"
              loading={promote.isPending || plan.isFetching}
              disabled={obstacle !== undefined && !isChanged}
              aria-describedby={obstacle ? 'promote-obstacle' : undefined}
            >
              {isChanged ? 'Changed, review again' : `${retry ? 'Retry' : 'Promote'} ${version}`}
            </Button>
          </div>
          {obstacle && (
            <p className={classes.muted} id="promote-obstacle">
              {obstacle}
            </p>
          )}
        </form>
      }
    />
  );
}

/** The closed entry gates a person with the right to may pass, if that opens the way. */
function passable(gates: Gate[]): Bypass[] {
  const closed = gates.filter((gate) => !gate.open && gate.group === 'Entry');
  if (!closed.every((gate) => bypassable.has(gate.gate))) return [];
  return closed.map((gate) => gate.gate as Bypass);
}

interface Moment {
  isLive: boolean;
  mayPromote: boolean;
  plan: Plan | undefined;
  isPassing: boolean;
  reason: string;
  stage: string;
}

/** Why the button cannot be pressed now; undefined when it can. Nothing is disabled in silence. */
function whyNotNow({ isLive, mayPromote, plan, isPassing, reason, stage }: Moment): string | undefined {
  if (!mayPromote) return `You may not promote into ${stage}: that needs the verb promote on this Stage.`;
  if (!plan) return 'Choose a version first.';
  if (!isLive) return 'The connection is lost and this page may show old data. It comes back by itself.';
  if (plan.mayPromote) return undefined;
  if (!isPassing) return 'A gate is closed, see above.';
  return reason.trim() ? undefined : 'Passing a gate needs a reason.';
}

function VerdictLine({ verdict }: { verdict: Verdict | undefined }) {
  const first = verdict?.closed[0];
  const more = (verdict?.closed.length ?? 0) - 1;
  const words = first && `${first.reason ?? first.gate}${more > 0 ? `, and ${more} more` : ''}`;
  switch (verdict?.state) {
    case 'current':
      return <span className={classes.good}>runs here</span>;
    case 'arriving':
      return <span className={classes.muted}>on its way{words && `: ${words}`}</span>;
    case 'open':
      return <span className={classes.muted}>{words ? `would wait: ${words}` : 'can go here'}</span>;
    case 'closed':
      return <span className={first?.gate === 'rejected' ? classes.bad : classes.muted}>{words}</span>;
    default:
      return null;
  }
}

interface PlanViewProps {
  plan: Plan;
  stage: Stage;
  closedEntry: Gate[];
}

function PlanView({ plan, stage, closedEntry }: PlanViewProps) {
  const waits = plan.gates.filter((gate) => !gate.open && gate.group === 'Start');
  const branches = [...new Map(plan.writes.map((write) => [`${write.repoURL} ${write.branch}`, write])).values()];
  const isNothing = plan.images.length > 0 && plan.images.every((image) => image.change === 'unchanged');
  return (
    <>
      <div className={classes.change}>
        {stage.freight && (
          <>
            <span title={fullName(stage.freight)}>{versionOf(stage.freight)}</span>
            <IconArrowRight size={18} stroke={1.8} aria-label="to" />
          </>
        )}
        <span title={fullName(plan.freight)}>{versionOf(plan.freight)}</span> <small>{plan.freight.alias}</small>
      </div>

      {closedEntry.length > 0 && (
        <Note tone="Waiting">
          <strong>
            {versionOf(plan.freight)} cannot go into {plan.stage} now
          </strong>
          <GateList gates={closedEntry} label="Closed entry gates" />
        </Note>
      )}
      {closedEntry.length === 0 && waits.length > 0 && (
        <Note tone="Waiting">
          <strong>The promotion will wait</strong>
          <GateList gates={waits} label="Gates it waits for" />
        </Note>
      )}

      <h3 className={classes.heading}>What changes</h3>
      <ImageTable images={plan.images} />

      <h3 className={classes.heading}>What is written</h3>
      {branches.length > 0 && (
        <div className={classes.box}>
          {branches.map((write) => (
            <div className={classes.fact} key={`${write.repoURL} ${write.branch}`}>
              <IconGitCommit size={17} stroke={1.7} aria-hidden="true" />
              <div>
                <strong>
                  {isNothing ? 'No image changes' : 'A commit'} on {write.branch}
                </strong>
                <span>
                  {shortRepo(write.repoURL)}
                  {write.readBranch && `, made from ${write.readBranch}`}
                </span>
              </div>
            </div>
          ))}
          {plan.busyWith && (
            <div className={classes.fact}>
              <IconHourglassHigh size={17} stroke={1.7} aria-hidden="true" />
              <div>
                <strong>After {plan.busyWith.name}</strong>
                <span>{plan.busyWith.message ?? plan.busyWith.phase}</span>
              </div>
            </div>
          )}
        </div>
      )}
      <div className={classes.warnings}>
        <Warnings plan={plan} />
      </div>
      {plan.applications?.map((app) => (
        <Manifests key={app.name} app={app} isNamed={(plan.applications?.length ?? 0) > 1} />
      ))}
      {plan.files && plan.files.length > 0 && (
        <div style={{ marginTop: 10 }}>
          <DiffView files={plan.files} />
        </div>
      )}
      {plan.files?.length === 0 && <p className={classes.muted}>Git already holds these values.</p>}
      {!plan.files && plan.filesMissing && (
        <p className={classes.muted} style={{ marginTop: 10 }}>
          The files are not shown: {plan.filesMissing}
        </p>
      )}
    </>
  );
}
