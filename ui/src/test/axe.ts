import axe from 'axe-core';
import { expect } from 'vitest';

/**
 * Expects no violation of WCAG 2.2 A and AA in what is rendered. Contrast is left out: happy-dom computes no
 * colours (contrast.test.ts checks the tokens, the browser tests check pages).
 */
export async function expectAccessible(container: Element): Promise<void> {
  const { violations } = await axe.run(container, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],
    rules: { 'color-contrast': { enabled: false } },
  });
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`)).toEqual([]);
}
