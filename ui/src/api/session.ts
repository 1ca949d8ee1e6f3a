import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { api, routes } from '../paths';
import { call } from './client';
import type { Me, SignInMethods } from './types';

export const sessionKey = ['me'] as const;

/** Who is signed in. The answer holds for the page's life; losing the session is told by 401 of any call. */
export function sessionOptions() {
  return {
    queryKey: sessionKey,
    queryFn: ({ signal }: { signal: AbortSignal }) => call<Me>(api.me(), { signal, quiet401: true }),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: Number.POSITIVE_INFINITY,
    retry: false,
  };
}

/** The person behind this page. */
export function useSession() {
  return useQuery(sessionOptions());
}

/** How one can sign in here; the sign-in page asks, and offers passwords until it knows better. */
export function useSignInMethods() {
  return useQuery({
    queryKey: ['sign-in-methods'],
    queryFn: ({ signal }: { signal: AbortSignal }) => call<SignInMethods>(api.login(), { signal, quiet401: true }),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
}

/** Signs in with a local account. Throws Problem (code wrong-credentials, too-many-requests). */
export function signIn(username: string, password: string): Promise<{ me: Me }> {
  return call(api.login(), { method: 'POST', body: { username, password }, quiet401: true });
}

/** Gives oneself another password. The session goes on; all other sessions and tokens of the user end. */
export function useChangePassword() {
  return useMutation({
    mutationFn: (body: { old: string; new: string }) => call<unknown>(api.password(), { method: 'POST', body }),
  });
}

/** Returns a function that ends the session and goes to the sign-in page. */
export function useSignOut(): () => void {
  const client = useQueryClient();
  const router = useRouter();
  return () => {
    const leave = () => {
      client.clear();
      router.navigate({ to: routes.login });
    };
    // a session that is gone already is what was wanted
    call(api.logout(), { method: 'POST', quiet401: true }).then(leave, leave);
  };
}
