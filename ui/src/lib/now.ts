import { useSyncExternalStore } from 'react';

// One timer serves every relative time on the page.
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let current = new Date();

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    current = new Date();
    timer = setInterval(() => {
      current = new Date();
      for (const each of listeners) each();
    }, 5000);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
}

/** The present, moved every five seconds: enough for times that read "40s" and "6m". */
export function useNow(): Date {
  return useSyncExternalStore(subscribe, () => current);
}
