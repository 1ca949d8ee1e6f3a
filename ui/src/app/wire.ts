import { QueryClient } from '@tanstack/react-query';
import type { RouterHistory } from '@tanstack/react-router';
import { listenForSignOut } from '../api/client';
import { Problem } from '../api/problem';
import { LiveStream } from '../live/stream';
import { api, routes } from '../paths';
import { makeRouter } from '../routes';

/** Makes the query client, the event stream and the router, and connects them. */
export function wire(history?: RouterHistory) {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        // only what may go away by itself is tried again: no answer, or an overloaded server
        retry: (failures, error) =>
          failures < 2 && error instanceof Problem && (error.status === 0 || error.status === 503),
        refetchOnWindowFocus: false,
      },
    },
  });
  const router = makeRouter(client, history);

  const signedOut = () => {
    const { pathname, href } = router.state.location;
    if (pathname === routes.login) return;
    client.clear();
    router.navigate({ to: routes.login, search: { next: href } });
  };
  listenForSignOut(signedOut);

  const stream = new LiveStream({
    open: (topics, lastEventId, signal) =>
      fetch(api.events(topics), {
        headers: {
          Accept: 'text/event-stream',
          ...(lastEventId !== undefined && { 'Last-Event-ID': lastEventId }),
        },
        credentials: 'same-origin',
        cache: 'no-store',
        signal,
      }),
    onSignedOut: signedOut,
    now: () => Date.now(),
    random: () => Math.random(),
  });
  return { client, router, stream };
}
