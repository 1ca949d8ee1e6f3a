import { Button, Modal, PasswordInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { useChangePassword } from '../api/session';
import { useToast } from '../components/toast';
import { usePhone } from '../lib/phone';
import { Failure } from './Note';
import sheet from './Sheet.module.css';
import classes from './StopDialog.module.css';

export interface PasswordDialogProps {
  /** Who is signed in: password managers want to know. */
  user: string;
  onClose: () => void;
}

/** Another password for oneself: the old one, the new one twice, and what ends with it. */
export function PasswordDialog({ user, onClose }: PasswordDialogProps) {
  const toast = useToast();
  const isPhone = usePhone();
  const change = useChangePassword();
  const [old, setOld] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const differs = again !== '' && again !== next;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (again !== next) return;
    change.mutate(
      { old, new: next },
      {
        onSuccess: () => {
          onClose();
          toast('Your password is changed.');
        },
      },
    );
  };
  const field = { required: true, withAsterisk: false, maxLength: 1024 };
  const toggle = (what: string) => ({ 'aria-label': `Show the ${what} password` });

  return (
    <Modal
      opened
      onClose={onClose}
      title={
        <span className={sheet.title} tabIndex={-1} data-autofocus>
          Change your password
        </span>
      }
      closeButtonProps={{ 'aria-label': 'Close' }}
      size={460}
      fullScreen={isPhone}
      lockScroll={false}
      radius={isPhone ? 0 : 12}
      transitionProps={{ duration: 0 }}
    >
      <form onSubmit={submit}>
        <p className={classes.lead}>You stay signed in here. Your other sessions, and all your tokens, end.</p>
        <input type="hidden" name="username" autoComplete="username" value={user} />
        <div className={classes.fields}>
          <PasswordInput
            {...field}
            label="Old password"
            autoComplete="current-password"
            value={old}
            onChange={(event) => setOld(event.currentTarget.value)}
            visibilityToggleButtonProps={toggle('old')}
          />
          <PasswordInput
            {...field}
            label="New password"
            description="8 characters or more, and not your name"
            autoComplete="new-password"
            minLength={8}
            value={next}
            onChange={(event) => setNext(event.currentTarget.value)}
            visibilityToggleButtonProps={toggle('new')}
          />
          <PasswordInput
            {...field}
            label="New password again"
            autoComplete="new-password"
            value={again}
            onChange={(event) => setAgain(event.currentTarget.value)}
            error={differs && 'It is not the same.'}
            visibilityToggleButtonProps={toggle('repeated')}
          />
        </div>
        {change.isError && <Failure error={change.error} />}
        <div className={classes.buttons}>
          <Button data-size="md" onClick={onClose}>
            Cancel
          </Button>
          <Button data-size="md" type="submit" variant="filled" disabled={differs} loading={change.isPending}>
            Change it
          </Button>
        </div>
      </form>
    </Modal>
  );
}
