import { Button, Modal, TextInput } from '@mantine/core';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { useAbort } from '../../api/queries';
import type { Promotion } from '../../api/types';
import { useToast } from '../../components/toast';
import { Failure } from '../../dialogs/Note';
import sheet from '../../dialogs/Sheet.module.css';
import stop from '../../dialogs/StopDialog.module.css';
import { usePhone } from '../../lib/phone';

export interface AbortDialogProps {
  promotion: Promotion;
}

/** Stops a Promotion: says what stays, and asks why. */
export function AbortDialog({ promotion }: AbortDialogProps) {
  const navigate = useNavigate();
  const toast = useToast();
  const isPhone = usePhone();
  const abort = useAbort(promotion.project, promotion.name);
  const [reason, setReason] = useState('');
  const close = () => navigate({ to: '.', search: (before: object) => ({ ...before, abort: undefined }) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    abort.mutate(reason.trim() ? { reason: reason.trim() } : {}, {
      onSuccess: () => {
        close();
        toast(`${promotion.name} is being aborted.`);
      },
    });
  };
  return (
    <Modal
      opened
      onClose={close}
      title={
        <span className={sheet.title} tabIndex={-1} data-autofocus>
          Abort {promotion.name}
        </span>
      }
      closeButtonProps={{ 'aria-label': 'Close' }}
      size={480}
      fullScreen={isPhone}
      lockScroll={false}
      radius={isPhone ? 0 : 12}
      transitionProps={{ duration: 0 }}
    >
      <form onSubmit={submit}>
        <p className={stop.lead}>
          {promotion.pushedAt
            ? 'Its commit is in Git and stays there; the cluster follows Git. To take it back, roll back.'
            : 'No further step runs. What is in Git by now stays there.'}
        </p>
        <TextInput
          aria-label="Reason"
          placeholder="Reason (optional)"
          maxLength={1024}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        {abort.isError && <Failure error={abort.error} />}
        <div className={stop.buttons}>
          <Button data-size="md" onClick={close}>
            Cancel
          </Button>
          <Button data-size="md" type="submit" variant="filled" loading={abort.isPending}>
            Abort
          </Button>
        </div>
      </form>
    </Modal>
  );
}
