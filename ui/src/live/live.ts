import { type QueryKey, useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useEffect, useSyncExternalStore } from 'react';
import type { LiveState, LiveStream } from './stream';

/** The page's one event stream. */
export const LiveContext = createContext<LiveStream | undefined>(undefined);

function useStream(): LiveStream {
  const stream = useContext(LiveContext);
  if (!stream) throw new Error('no LiveContext around this component');
  return stream;
}

/** What the connection is doing, for the pill and for buttons that must not act on old data. */
export function useLiveState(): LiveState {
  const stream = useStream();
  return useSyncExternalStore(stream.listen, stream.state);
}

/** A page model says where the stream stood when it was made. */
interface Model {
  cursor?: string;
}

const commitEvery = 100; // ms: many events become one drawing

/**
 * Keeps a fetched model equal to the server's by the event stream: each event is a whole new model and
 * replaces the cached one. Nothing is fetched again, except when the server says that the model is gone.
 */
export function useLiveModel(topic: string, key: QueryKey, fetched: Model | undefined): void {
  const stream = useStream();
  const client = useQueryClient();
  const isFetched = fetched !== undefined;
  const keyText = JSON.stringify(key);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the cursor matters when the subscription starts only
  useEffect(() => {
    if (!isFetched) return;
    const queryKey = JSON.parse(keyText) as QueryKey;
    let latest: unknown;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const commit = () => {
      timer = undefined;
      client.setQueryData(queryKey, latest);
    };
    const end = stream.subscribe(topic, fetched.cursor, {
      onModel(model) {
        latest = model;
        timer ??= setTimeout(commit, commitEvery);
      },
      onGone() {
        clearTimeout(timer);
        timer = undefined;
        client.resetQueries({ queryKey, exact: true });
      },
    });
    return () => {
      if (timer !== undefined) {
        clearTimeout(timer);
        commit();
      }
      end();
    };
  }, [stream, client, topic, keyText, isFetched]);
}
