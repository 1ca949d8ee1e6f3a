import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { type FormEvent, Fragment, useEffect, useRef, useState } from 'react';
import { sessionKey, signIn, useSignInMethods } from '../../api/session';
import { Logo } from '../../components/Logo';
import { Status, statusClass } from '../../components/Status';
import { Failure, Note } from '../../dialogs/Note';
import { api } from '../../paths';
import classes from './LoginPage.module.css';

export interface LoginPageProps {
  /** Where to go afterwards: an address of this dashboard. */
  next: string | undefined;
  /** Why signing in at the identity provider did not work, in the server's word, and under which request it is logged. */
  refused?: { why: string; request: string | undefined } | undefined;
}

/** Signing in with a local account, or at the identity provider. */
export function LoginPage({ next, refused }: LoginPageProps) {
  const methods = useSignInMethods().data;
  const hasPasswords = methods?.password ?? true;
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
          {refused && !enter.isError && <Refused {...refused} />}
          {methods?.sso && (
            <Button
              data-size="md"
              component="a"
              href={api.sso(localPath(next))}
              variant={hasPasswords ? 'default' : 'filled'}
            >
              Sign in with {methods.sso}
            </Button>
          )}
          {methods?.sso && hasPasswords && <div className={classes.or}>or</div>}
          {hasPasswords && (
            <>
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
            </>
          )}
          <p className={classes.terminal}>
            From a terminal:{' '}
            <code>
              waybill login {window.location.origin}
              {methods?.sso && (
                <>
                  {' '}
                  <span>--sso</span>
                </>
              )}
            </code>
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

/** What the server's words for a sign-in that did not work mean, and what to do. */
const reasons: Record<string, string> = {
  denied: 'The identity provider did not sign you in.',
  expired: 'The sign-in took too long, or was begun in another window. Try again.',
  refused: 'The identity provider knows you, but you may not sign in here. Ask whoever runs this server.',
  unavailable: 'The identity provider does not answer. Try again in a moment.',
};

function Refused({ why, request }: { why: string; request: string | undefined }) {
  return (
    <div role="alert">
      <Note tone="Failed">
        {reasons[why] ?? 'Signing in did not work. Try again.'}
        {request && (
          <p className={classes.request}>
            Request <code>{request}</code>
          </p>
        )}
      </Note>
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
