import { useSyncExternalStore } from 'react';

// The projects opened last, kept in this browser for the navigation. Storage may be blocked: then the list is empty.
const key = 'waybill-recent-projects';
const most = 6;
const listeners = new Set<() => void>();
let cached: string[] | undefined;

function read(): string[] {
  if (cached) return cached;
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(key) ?? '[]');
    cached = Array.isArray(stored) ? stored.filter((name) => typeof name === 'string').slice(0, most) : [];
  } catch {
    cached = [];
  }
  return cached;
}

function write(names: string[]): void {
  cached = names;
  try {
    localStorage.setItem(key, JSON.stringify(names));
  } catch {
    // blocked or full: the list lives until the page is closed
  }
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Puts a project among the recent ones; a known one keeps its place, so that the list does not jump. */
export function remember(project: string): void {
  const names = read();
  if (!names.includes(project)) write([project, ...names].slice(0, most));
}

/** Takes a project off the list, because it is gone. */
export function forget(project: string): void {
  const names = read();
  if (names.includes(project)) write(names.filter((name) => name !== project));
}

/** The recent projects of this browser, at most six. */
export function useRecent(): string[] {
  return useSyncExternalStore(subscribe, read);
}
