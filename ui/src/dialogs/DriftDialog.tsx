import { Button, Modal, TextInput } from '@mantine/core';
import { IconBandage, IconGitCommit, IconRocket, IconUser } from '@tabler/icons-react';
import { type FormEvent, useId, useState } from 'react';
import { useAccept, useSync } from '../api/queries';
import type { AcceptField, SyncResource } from '../api/types';
import { useToast } from '../components/toast';
import type { DriftOf } from '../lib/drift';
import { usePhone } from '../lib/phone';
import { useDialog } from '../lib/search';
import { Failure } from './Note';
import sheet from './Sheet.module.css';
import classes from './StopDialog.module.css';

export interface DriftDialogProps {
  project: string;
  of: DriftOf;
  /** Heal: the cluster becomes as Git says. Accept: Git becomes as the cluster is. */
  kind: 'heal' | 'accept';
}

/** Decides about one change made in the cluster: what Git says, what was found, by whom, and what will happen. */
export function DriftDialog({ project, of, kind }: DriftDialogProps) {
  const { app, drift } = of;
  const dialog = useDialog();
  const toast = useToast();
  const isPhone = usePhone();
  const reasonId = useId();
  const [reason, setReason] = useState('');
  const sync = useSync(project, app.name);
  const accept = useAccept(project, app.name);
  const mutation = kind === 'heal' ? sync : accept;
  const object = `${drift.kind}/${drift.name}`;
  const title = kind === 'heal' ? `Heal ${object} now` : `Accept ${drift.field} of ${object}`;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const resource: SyncResource = {
      kind: drift.kind,
      name: drift.name,
      ...(drift.group && { group: drift.group }),
      ...(drift.namespace && { namespace: drift.namespace }),
    };
    const done = (text: string) => () => {
      dialog();
      toast(text);
    };
    if (kind === 'heal') {
      sync.mutate({ resources: [resource] }, { onSuccess: done(`${object} is being made as Git says.`) });
      return;
    }
    const field: AcceptField = { ...resource, field: drift.field ?? '' };
    if (drift.got && drift.got !== 'added') field.seen = drift.got;
    accept.mutate(
      { fields: [field], ...(reason.trim() && { reason: reason.trim() }) },
      { onSuccess: (result) => done(`Branch ${result.branch} says so now.`)() },
    );
  };

  return (
    <Modal
      opened
      onClose={() => dialog()}
      title={
        <span className={sheet.title} tabIndex={-1} data-autofocus>
          {title}
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
        <div className={sheet.box}>
          <div className={sheet.fact}>
            <IconUser {...icon} />
            <div>
              <strong>
                {drift.manager ? `Field manager ${drift.manager} changed it` : 'Nobody knows which hand changed it'}
              </strong>
              <span className="mono">
                {drift.field ?? 'the object itself'}: Git {drift.want ?? 'absent'}, found {drift.got ?? 'absent'}
              </span>
            </div>
          </div>
          {kind === 'heal' ? <HealFacts object={object} /> : <AcceptFacts branch={app.branch ?? 'of the Stage'} />}
        </div>
        {kind === 'accept' && (
          <div className={classes.fields}>
            <div>
              <label className={sheet.label} htmlFor={reasonId}>
                Reason
              </label>
              <TextInput
                id={reasonId}
                placeholder="For the commit and the history (optional)"
                maxLength={1024}
                value={reason}
                onChange={(event) => setReason(event.currentTarget.value)}
              />
            </div>
          </div>
        )}
        {mutation.isError && <Failure error={mutation.error} />}
        <div className={classes.buttons}>
          <Button data-size="md" onClick={() => dialog()}>
            Cancel
          </Button>
          <Button data-size="md" type="submit" variant="filled" loading={mutation.isPending}>
            {kind === 'heal' ? 'Heal now' : 'Accept'}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

const icon = { size: 17, stroke: 1.7, 'aria-hidden': true } as const;

function HealFacts({ object }: { object: string }) {
  return (
    <div className={sheet.fact}>
      <IconBandage {...icon} />
      <div>
        <strong>{object} is applied whole, as Git says</strong>
        <span>Other changes of its fields are taken back as well. Who changed it may change it again.</span>
      </div>
    </div>
  );
}

function AcceptFacts({ branch }: { branch: string }) {
  return (
    <>
      <div className={sheet.fact}>
        <IconGitCommit {...icon} />
        <div>
          <strong>The value is committed to branch {branch}, in your name</strong>
          <span>Nothing else changes by it: what cannot be written so is refused with the reason.</span>
        </div>
      </div>
      <div className={sheet.fact}>
        <IconRocket {...icon} />
        <div>
          <strong>The next promotion overwrites it</strong>
          <span>Unless the branch that this one is written from says so too: change it there as well.</span>
        </div>
      </div>
    </>
  );
}
