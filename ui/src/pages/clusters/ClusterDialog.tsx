import { Button, Modal } from '@mantine/core';
import type { FormEvent, ReactNode } from 'react';
import { Failure } from '../../dialogs/Note';
import sheet from '../../dialogs/Sheet.module.css';
import stop from '../../dialogs/StopDialog.module.css';
import { usePhone } from '../../lib/phone';

export interface ClusterDialogProps {
  title: string;
  verb: string;
  /** Whether what it needs is given. */
  isReady: boolean;
  isPending: boolean;
  error: unknown;
  onClose: () => void;
  onSubmit: () => void;
  children: ReactNode;
}

/** The frame of the dialogs about one cluster. */
export function ClusterDialog({ title, verb, isReady, isPending, error, ...rest }: ClusterDialogProps) {
  const isPhone = usePhone();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) rest.onSubmit();
  };
  return (
    <Modal
      opened
      onClose={rest.onClose}
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
        {rest.children}
        {error !== null && <Failure error={error} />}
        <div className={stop.buttons}>
          <Button data-size="md" onClick={rest.onClose}>
            Cancel
          </Button>
          <Button data-size="md" type="submit" variant="filled" loading={isPending} disabled={!isReady}>
            {verb}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
