import { Button, Modal, TextInput } from '@mantine/core';
import {
  IconBandageOff,
  IconGitCommit,
  IconHandStop,
  IconHourglassHigh,
  IconRocket,
  IconSnowflake,
} from '@tabler/icons-react';
import { type FormEvent, useId, useState } from 'react';
import { useFreeze, useHold, usePermissions } from '../api/queries';
import type { Freeze, Permissions, Pipeline } from '../api/types';
import { StopBanner } from '../components/StopBanner';
import { useToast } from '../components/toast';
import { usePhone } from '../lib/phone';
import { useDialog } from '../lib/search';
import { type Ending, endings, endOf, stageNames } from '../lib/stops';
import { useLiveState } from '../live/live';
import { Failure } from './Note';
import sheet from './Sheet.module.css';
import classes from './StopDialog.module.css';

export interface StopDialogProps {
  pipeline: Pipeline;
  /** Name of a Stage, or `*` for every Stage of the project. */
  stage: string;
  kind: StopKind;
}

/** A freeze stops every promotion, a hold the automatic flow only; healing: drift stays as it is until an instant. */
type StopKind = 'freeze' | 'hold' | 'healing';

interface Words {
  title: (name: string) => string;
  verb: string;
  /** How a stop is ended that has no end of its own; undefined: it has to have one. */
  open?: string;
  done: (name: string) => string;
  /** The verb that one needs, and how to say that one may not. */
  needs: { verb: string; may: string };
  /** What such a stop is shown as when it is in force. */
  inForce: Freeze['shownAs'][];
}

const words: Record<StopKind, Words> = {
  freeze: {
    title: (name) => `Freeze ${name}`,
    verb: 'Freeze',
    open: 'Somebody thaws it',
    done: (name) => `${name} is frozen.`,
    needs: { verb: 'freeze', may: 'freeze' },
    inForce: ['freeze', 'hold'],
  },
  hold: {
    title: (name) => `Hold ${name}`,
    verb: 'Hold',
    open: 'Somebody resumes it',
    done: (name) => `The automatic flow into ${name} is held.`,
    needs: { verb: 'promote', may: 'hold' },
    inForce: ['freeze', 'hold'],
  },
  healing: {
    title: (name) => `Pause healing of ${name}`,
    verb: 'Pause healing',
    done: (name) => `The healing of ${name} is paused.`,
    needs: { verb: 'promote', may: 'pause the healing of' },
    inForce: ['healing-pause'],
  },
};

/** Stops promotions into a Stage or into all, or its healing: what that means, what is in force already, a reason and an end. */
export function StopDialog({ pipeline, stage, kind }: StopDialogProps) {
  const dialog = useDialog();
  const toast = useToast();
  const isPhone = usePhone();
  const { phase } = useLiveState();
  const permissions = usePermissions(pipeline.project).data;
  const freeze = useFreeze(pipeline.project);
  const hold = useHold(pipeline.project, stage);
  const [reason, setReason] = useState('');
  const word = words[kind];
  const [ending, setEnding] = useState<Ending>(word.open ? 'open' : '1h');
  const [at, setAt] = useState('');
  const ids = { reason: useId(), end: useId(), at: useId(), obstacle: useId() };

  const isAll = stage === '*';
  const name = isAll ? pipeline.project : stage;
  const until = endOf(ending, at, new Date());
  const inForce = (pipeline.freezes ?? []).filter(
    (each) =>
      word.inForce.includes(each.shownAs) && (isAll ? each.stage === '*' : each.stage === stage || each.stage === '*'),
  );
  const mutation = kind === 'freeze' ? freeze : hold;
  const obstacle = whyNotNow({
    isAllowed: isAllowed(permissions, stage, kind),
    isLive: phase === 'live' || phase === 'connecting',
    needs: `You may not ${word.needs.may} ${name}: that needs the verb ${word.needs.verb} on ${isAll ? 'every Stage' : 'this Stage'}.`,
    reason,
    isEndMissing: ending === 'at' && until === undefined,
  });

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (obstacle !== undefined) return;
    const body = { reason: reason.trim(), ...(until && { until: until.toISOString() }) };
    const onSuccess = () => {
      dialog();
      toast(word.done(name));
    };
    if (kind === 'freeze') freeze.mutate({ stage, ...body }, { onSuccess });
    else hold.mutate({ ...body, ...(kind === 'healing' && { healing: true }) }, { onSuccess });
  };

  return (
    <Modal
      opened
      onClose={() => dialog()}
      title={
        <span className={sheet.title} tabIndex={-1} data-autofocus>
          {word.title(name)}
        </span>
      }
      closeButtonProps={{ 'aria-label': 'Close' }}
      size={560}
      fullScreen={isPhone}
      lockScroll={false}
      radius={isPhone ? 0 : 12}
      transitionProps={{ duration: 0 }}
    >
      <form onSubmit={submit}>
        {inForce.length > 0 && (
          <div className={classes.inForce}>
            {inForce.map((each) => (
              <StopBanner key={each.name} freeze={each} project={pipeline.project} />
            ))}
          </div>
        )}
        <div className={sheet.box}>
          {kind === 'freeze' && (
            <FreezeFacts where={isAll ? stageNames(pipeline.stages.map((each) => each.name)) : stage} />
          )}
          {kind === 'hold' && <HoldFacts stage={stage} />}
          {kind === 'healing' && <PauseFacts />}
        </div>
        <div className={classes.fields}>
          <div>
            <label className={sheet.label} htmlFor={ids.reason}>
              Reason
            </label>
            <TextInput
              id={ids.reason}
              placeholder={
                kind === 'healing' ? 'Shown beside what drifts meanwhile' : 'Shown to everybody who is stopped by it'
              }
              maxLength={1024}
              value={reason}
              onChange={(event) => setReason(event.currentTarget.value)}
            />
          </div>
          <div>
            <label className={sheet.label} htmlFor={ids.end}>
              Until
            </label>
            <select
              id={ids.end}
              className={sheet.select}
              value={ending}
              onChange={(event) => setEnding(event.target.value as Ending)}
            >
              {endings
                .filter(({ value }) => value !== 'open' || word.open)
                .map(({ value, label }) => (
                  <option key={value} value={value}>
                    {value === 'open' ? word.open : label}
                  </option>
                ))}
            </select>
          </div>
          {ending === 'at' && (
            <div>
              <label className={sheet.label} htmlFor={ids.at}>
                Date and time
              </label>
              <input
                id={ids.at}
                type="datetime-local"
                className={sheet.select}
                value={at}
                onChange={(event) => setAt(event.target.value)}
              />
            </div>
          )}
        </div>
        {mutation.isError && <Failure error={mutation.error} />}
        <div className={classes.buttons}>
          {obstacle && (
            <p className={sheet.muted} id={ids.obstacle}>
              {obstacle}
            </p>
          )}
          <Button data-size="md" onClick={() => dialog()}>
            Cancel
          </Button>
          <Button
            data-size="md"
            type="submit"
            variant="filled"
            loading={mutation.isPending}
            disabled={obstacle !== undefined}
            aria-describedby={obstacle ? ids.obstacle : undefined}
          >
            {word.verb}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

/** What the server answered about the right to do it; yes until it is known, for the server decides again. */
function isAllowed(permissions: Permissions | undefined, stage: string, kind: StopKind): boolean {
  if (!permissions) return true;
  if (stage === '*') return permissions.freezeAll ?? false;
  return permissions.stages?.find((each) => each.stage === stage)?.[kind === 'freeze' ? 'freeze' : 'hold'] ?? false;
}

interface Moment {
  isAllowed: boolean;
  isLive: boolean;
  needs: string;
  reason: string;
  isEndMissing: boolean;
}

/** Why the button cannot be pressed now; undefined when it can. */
function whyNotNow({ isAllowed, isLive, needs, reason, isEndMissing }: Moment): string | undefined {
  if (!isAllowed) return needs;
  if (!isLive) return 'The connection is lost and this page may show old data. It comes back by itself.';
  if (isEndMissing) return 'Choose a date and time to come.';
  return reason.trim() ? undefined : 'It needs a reason.';
}

const icon = { size: 17, stroke: 1.7, 'aria-hidden': true } as const;

function FreezeFacts({ where }: { where: string }) {
  return (
    <>
      <div className={sheet.fact}>
        <IconSnowflake {...icon} />
        <div>
          <strong>Nothing is promoted into {where}</strong>
          <span>Neither by itself nor by hand. What waits goes on waiting and moves when the freeze ends.</span>
        </div>
      </div>
      <div className={sheet.fact}>
        <IconHourglassHigh {...icon} />
        <div>
          <strong>What runs keeps running</strong>
          <span>A promotion that has begun is finished and drift is still healed. A rollback waits as well.</span>
        </div>
      </div>
    </>
  );
}

function HoldFacts({ stage }: { stage: string }) {
  return (
    <>
      <div className={sheet.fact}>
        <IconHandStop {...icon} />
        <div>
          <strong>No version moves into {stage} by itself</strong>
          <span>What is verified upstream waits until somebody resumes the flow.</span>
        </div>
      </div>
      <div className={sheet.fact}>
        <IconRocket {...icon} />
        <div>
          <strong>People may still promote and roll back</strong>
          <span>To stop them as well, freeze it.</span>
        </div>
      </div>
    </>
  );
}

function PauseFacts() {
  return (
    <>
      <div className={sheet.fact}>
        <IconBandageOff {...icon} />
        <div>
          <strong>What is changed in the cluster stays until the end</strong>
          <span>It is shown as drift, and healed at the end unless somebody accepts it.</span>
        </div>
      </div>
      <div className={sheet.fact}>
        <IconGitCommit {...icon} />
        <div>
          <strong>New revisions are applied all the same</strong>
          <span>Promotions and rollbacks go on. Heal now still takes a change back.</span>
        </div>
      </div>
    </>
  );
}
