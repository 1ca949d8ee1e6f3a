import { Button, TextInput } from '@mantine/core';
import {
  IconArrowBackUp,
  IconArrowRight,
  IconBan,
  IconCircleOff,
  IconHandStop,
  IconHistoryOff,
} from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { rollbackOptions, useRollback, useStagePermissions } from '../api/queries';
import type { Pipeline, RollbackPreview, RollbackTarget, Stage } from '../api/types';
import { ErrorState, sentence } from '../components/ErrorState';
import { GateList } from '../components/GateList';
import { Skeleton } from '../components/Skeleton';
import { Status } from '../components/Status';
import { useToast } from '../components/toast';
import { When } from '../components/When';
import { fullName, shortRepo, versionOf } from '../lib/freight';
import { useNow } from '../lib/now';
import { useDialog } from '../lib/search';
import { clock, instant, span } from '../lib/time';
import { useLiveState } from '../live/live';
import { Manifests, Warnings } from '../review/PlanParts';
import { Choices } from './Choices';
import { ImageTable } from './ImageTable';
import { Failure, Note } from './Note';
import { Sheet } from './Sheet';
import classes from './Sheet.module.css';

export interface RollbackDialogProps {
  pipeline: Pipeline;
  stage: Stage;
  /** Name of the chosen Freight; the last good one when absent. */
  to: string | undefined;
}

/** Takes a Stage back by a new commit: where to, what changes, and what else happens. */
export function RollbackDialog({ pipeline, stage, to }: RollbackDialogProps) {
  const dialog = useDialog();
  const toast = useToast();
  const { phase } = useLiveState();
  const permissions = useStagePermissions(pipeline.project, stage.name);
  const rollback = useRollback(pipeline.project, stage.name);
  const [reason, setReason] = useState('');
  const preview = useQuery({
    ...rollbackOptions(pipeline.project, stage.name, to),
    placeholderData: keepPreviousData,
  });
  const data = preview.data;
  const target = data?.to;
  const version = target ? versionOf(target) : '';
  const obstacle = whyNotNow(
    data,
    permissions?.rollback ?? true,
    phase === 'live' || phase === 'connecting',
    stage.name,
  );

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (obstacle !== undefined || !target) return;
    rollback.mutate(
      { to: target.name, ...(reason.trim() && { reason: reason.trim() }) },
      {
        onSuccess: () => {
          dialog();
          toast(`Rollback of ${stage.name} to ${version} was accepted.`);
        },
      },
    );
  };

  return (
    <Sheet
      title={`Roll back ${stage.name}`}
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
        <Choices legend="Go back to" count={data?.targets.length ?? 0} isChosen={target !== undefined}>
          {data?.targets.map((each) => (
            <label className={classes.choice} key={each.freight.name} data-version={versionOf(each.freight)}>
              <input
                type="radio"
                name="target"
                checked={each.freight.name === target?.name}
                onChange={() => dialog({ rollback: stage.name, with: each.freight.name })}
              />
              <Target target={each} />
            </label>
          ))}
          {data?.targets.length === 0 && <p className={classes.muted}>Nothing else ran here yet.</p>}
        </Choices>
      }
      right={
        preview.isError ? (
          <ErrorState error={preview.error} what="The preview" onRetry={() => preview.refetch()} />
        ) : data ? (
          <Preview preview={data} stage={stage} />
        ) : (
          <section aria-busy="true" aria-label="Working out what changes">
            <Skeleton height={320} />
          </section>
        )
      }
      foot={
        <form onSubmit={submit}>
          {rollback.isError && <Failure error={rollback.error} />}
          <div className={classes.act}>
            <TextInput
              className={classes.grow}
              aria-label="Reason"
              placeholder="Reason (optional)"
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
              loading={rollback.isPending}
              disabled={obstacle !== undefined}
              aria-describedby={obstacle ? 'rollback-obstacle' : undefined}
            >
              {version ? `Roll back to ${version}` : 'Roll back'}
            </Button>
          </div>
          {obstacle && (
            <p className={classes.muted} id="rollback-obstacle">
              {obstacle}
            </p>
          )}
        </form>
      }
    />
  );
}

/** Why the button cannot be pressed now; undefined when it can. */
function whyNotNow(
  preview: RollbackPreview | undefined,
  isAllowed: boolean,
  isLive: boolean,
  stage: string,
): string | undefined {
  if (!isAllowed) return `You may not roll back ${stage}: that needs the verb rollback on this Stage.`;
  if (!preview) return 'Working out what changes.';
  if (!preview.mayRollback) return sentence(preview.reason ?? 'there is nothing to go back to');
  if (!preview.to) return sentence(preview.reason ?? 'choose a version first');
  if (!isLive) return 'The connection is lost and this page may show old data. It comes back by itself.';
  return undefined;
}

function Target({ target }: { target: RollbackTarget }) {
  const now = useNow();
  const [from, until] = [instant(target.enteredAt), instant(target.leftAt)];
  return (
    <span className={classes.choiceBody}>
      <span className={classes.choiceLine}>
        <strong>{versionOf(target.freight)}</strong> <span className={classes.muted}>{target.freight.alias}</span>
        <span className={classes.push}>
          {target.good && <span className={classes.good}>ran healthy</span>}
          {/* What was rejected says so below; it may well have been healthy. */}
          {!target.good && !target.rejected && <span className={classes.bad}>not healthy</span>}
        </span>
      </span>
      {from && (
        <span className={classes.muted}>
          ran {clock(from, now)}
          {until && `, for ${span((until.getTime() - from.getTime()) / 1000)}`}
        </span>
      )}
      {target.lastGood && <div className={classes.last}>Last good version</div>}
      {target.rejected && <div className={classes.bad}>Rejected: {target.rejected}</div>}
    </span>
  );
}

function Preview({ preview, stage }: { preview: RollbackPreview; stage: Stage }) {
  const { from, to } = preview;
  const closed = preview.gates.filter((gate) => !gate.open);
  const branches = stage.branches ?? [];
  if (!to) {
    return <Note tone="Waiting">{sentence(preview.reason ?? 'there is nothing to go back to')}</Note>;
  }
  return (
    <>
      <div className={classes.change}>
        {from && (
          <>
            <span title={fullName(from)}>{versionOf(from)}</span>
            <IconArrowRight size={18} stroke={1.8} aria-label="to" />
          </>
        )}
        <span title={fullName(to)}>{versionOf(to)}</span> <small>{to.alias}</small>
      </div>
      {!preview.mayRollback && preview.reason && <Note tone="Waiting">{sentence(preview.reason)}</Note>}
      {closed.length > 0 && (
        <Note tone="Waiting">
          <strong>{!preview.mayRollback ? 'It cannot go back now' : 'The rollback will wait'}</strong>
          <GateList gates={closed} label="Closed gates" />
        </Note>
      )}

      <Warnings plan={preview} />

      <h3 className={classes.heading}>What happens</h3>
      <div className={classes.box}>
        {preview.holds && (
          <div className={classes.fact}>
            <IconHandStop size={17} stroke={1.7} aria-hidden="true" />
            <div>
              <strong>The automatic flow will be held</strong>
              <span>No version moves into {stage.name} by itself until somebody resumes it.</span>
            </div>
          </div>
        )}
        <div className={classes.fact}>
          <IconArrowBackUp size={17} stroke={1.7} aria-hidden="true" />
          <div>
            <strong>Git gets a new commit, history stays</strong>
            <span>
              {branches.length > 0
                ? `On ${branches.map((branch) => `${branch.writeBranch} of ${shortRepo(branch.repoURL)}`).join(' and ')}. `
                : ''}
              Nothing is force-pushed.
            </span>
          </div>
        </div>
        {from && (
          <div className={classes.fact}>
            <IconBan size={17} stroke={1.7} aria-hidden="true" />
            <div>
              <strong>{versionOf(from)} will be rejected here</strong>
              <span>It does not come back into {stage.name} before somebody allows it again.</span>
            </div>
          </div>
        )}
        <div className={classes.fact}>
          <IconHistoryOff size={17} stroke={1.7} aria-hidden="true" />
          <div>
            <strong>What is not in Git does not go back</strong>
            <span>Data in volumes and databases, Secrets that others make, objects that others own.</span>
          </div>
        </div>
        {preview.aborts && (
          <div className={classes.fact}>
            <IconCircleOff size={17} stroke={1.7} aria-hidden="true" />
            <div>
              <strong>{preview.aborts.name} will be aborted</strong>
              <span>
                It is {preview.aborts.phase.toLowerCase()}
                {preview.aborts.freight && ` with ${versionOf(preview.aborts.freight)}`} and in the way.
              </span>
            </div>
          </div>
        )}
      </div>

      {preview.images && preview.images.length > 0 && (
        <>
          <h3 className={classes.heading}>
            What changes{' '}
            {from && (
              <small>
                read from {versionOf(from)} to {versionOf(to)}
              </small>
            )}
          </h3>
          <ImageTable images={preview.images} />
        </>
      )}
      {preview.applications?.map((app) => (
        <Manifests key={app.name} app={app} isNamed={(preview.applications?.length ?? 0) > 1} />
      ))}
      {preview.filesMissing && <Note tone="Unknown">It is not known which objects change: {preview.filesMissing}</Note>}
    </>
  );
}
