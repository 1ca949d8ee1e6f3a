import { type QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { Toasts } from '../components/toast';
import { LiveContext } from '../live/live';
import type { LiveStream } from '../live/stream';
import type { makeRouter } from '../routes';
import { Theme } from '../theme/theme';

export interface AppProps {
  client: QueryClient;
  stream: LiveStream;
  router: ReturnType<typeof makeRouter>;
  /** 'test' switches transitions and portals off. */
  env?: 'default' | 'test';
}

/** The dashboard with everything it needs around it. */
export function App({ client, stream, router, env }: AppProps) {
  return (
    <Theme env={env}>
      <QueryClientProvider client={client}>
        <LiveContext.Provider value={stream}>
          <Toasts>
            <RouterProvider router={router} />
          </Toasts>
        </LiveContext.Provider>
      </QueryClientProvider>
    </Theme>
  );
}
