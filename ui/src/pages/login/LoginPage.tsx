import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { type FormEvent, Fragment, useEffect, useRef, useState } from 'react';
import { sessionKey, signIn } from '../../api/session';
import { Logo } from '../../components/Logo';
import { Status, statusClass } from '../../components/Status';
import { Failure } from '../../dialogs/Note';
import classes from './LoginPage.module.css';

export interface LoginPageProps {
  /** Where to go afterwards: an address of this dashboard. */
  next: string | undefined;
}

/** Signing in with a local account. */
export function LoginPage({ next }: LoginPageProps) {
  const router = useRouter();
  const client = useQueryClient();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const nameField = useRef<HTMLInputElement>(null);
  const host = window.location.host;

  useEffect(() => {
    document.title = 'Sign in · Waybill';
    nameField.current?.focus();
  }, []);

  const enter = useMutation({
    mutationFn: () => signIn(username, password),
    onSuccess: ({ me }) => {
      client.clear();
      client.setQueryData(sessionKey, me);
      router.history.push(localPath(next));
    },
    onError: () => setPassword(''),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    enter.mutate();
  };

  return (
    <div className={classes.page}>
      <main className={classes.left}>
        <div className={classes.brand}>
          <Logo size={24} /> Waybill
        </div>
        <form className={classes.form} onSubmit={submit}>
          <h1 className={classes.title}>Sign in</h1>
          <p className={classes.host}>{host}</p>
          {enter.isError && <Failure error={enter.error} />}
          <TextInput
            ref={nameField}
            label="User name"
            name="username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={128}
            required
            withAsterisk={false}
            value={username}
            onChange={(event) => setUsername(event.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            name="password"
            autoComplete="current-password"
            maxLength={1024}
            required
            withAsterisk={false}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            visibilityToggleButtonProps={{ 'aria-label': 'Show password' }}
          />
          <Button data-size="md" type="submit" variant="filled" loading={enter.isPending}>
            Sign in
          </Button>
          <p className={classes.terminal}>
            From a terminal: <code>waybill login {window.location.origin}</code>
          </p>
        </form>
      </main>
      <div className={classes.right} aria-hidden="true">
        <div className={classes.flow}>
          {picture.map(({ stage, version, status }, i) => (
            <Fragment key={stage}>
              {i > 0 && <div className={classes.line} />}
              <div className={`${classes.stage} ${statusClass(status)}`}>
                <strong>{stage}</strong>
                <b>{version}</b>
                <Status status={status} />
              </div>
            </Fragment>
          ))}
        </div>
        <div className={classes.claim}>
          <p>Every version, every stage, every reason.</p>
          <p>See what runs where, what goes next, and who has to say yes.</p>
        </div>
      </div>
    </div>
  );
}

const picture = [
  { stage: 'test', version: '2.15.0', status: 'Progressing' },
  { stage: 'uat', version: '2.14.0', status: 'Healthy' },
  { stage: 'prod', version: '2.13.4', status: 'Waiting' },
];

/** `next` if it is a path of this origin, else the start page: a sign-in link must not lead elsewhere. */
export function localPath(next: string | undefined): string {
  if (!next?.startsWith('/') || next.startsWith('//') || next.includes('\\')) return '/projects';
  try {
    return new URL(next, 'http://waybill.invalid').origin === 'http://waybill.invalid' ? next : '/projects';
  } catch {
    return '/projects';
  }
}
