import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterEach, beforeEach, vi } from 'vitest';

// happy-dom has neither; Mantine and xyflow ask for both.
class NoResize {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}

// Waiting costs nothing when it is not needed, and a busy machine needs it.
configure({ asyncUtilTimeout: 30_000 });

/** The present of the fixtures. Times that are told from now must not depend on the day of the test. */
const present = new Date('2026-11-20T12:04:00Z');

beforeEach(() => {
  vi.useFakeTimers({ now: present, toFake: ['Date'] });
  vi.stubGlobal('ResizeObserver', NoResize);
  vi.stubGlobal('scrollTo', () => undefined);
  Element.prototype.scrollIntoView = () => undefined;
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  localStorage.clear();
});
