import { describe, expect, it } from 'vitest';
import { contrast, hex, mix, type Rgb } from '../lib/colors';
import css from './tokens.css?raw';

/** The `--name: #rrggbb` declarations of the first block whose selector contains `scheme`. */
function tokens(scheme: 'light' | 'dark'): Map<string, Rgb> {
  const start = css.indexOf(`[data-mantine-color-scheme="${scheme}"] {`);
  const block = css.slice(start, css.indexOf('}', start));
  return new Map(
    [...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name ?? '', hex(value ?? '')]),
  );
}

const statuses = ['st-ok', 'st-run', 'st-wait', 'st-ice', 'st-drift', 'st-bad', 'st-unk'];
const grounds = ['card', 'bg', 'sunk', 'accent-soft'];

// axe cannot judge text inside the transformed graph, so every pair is checked on its own (WCAG 1.4.3, 4.5:1).
describe.each(['light', 'dark'] as const)('%s', (scheme) => {
  const token = tokens(scheme);
  const get = (name: string): Rgb => {
    const value = token.get(name);
    if (!value) throw new Error(`no token --${name}`);
    return value;
  };
  const texts = ['ink', 'mut', 'accent-ink', ...statuses];

  it.each(texts.flatMap((text) => grounds.map((ground) => [text, ground] as const)))('%s on %s', (text, ground) => {
    expect(contrast(get(text), get(ground))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(statuses)('%s on its own 8 % tint', (status) => {
    expect(contrast(get(status), mix(get(status), get('card'), 0.08))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(['add-line', 'add-word', 'del-line', 'del-word', 'code'])('ink on %s', (ground) => {
    expect(contrast(get('ink'), get(ground))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(['tint1', 'tint2', 'tint3', 'tint4', 'tint5'])('ink on %s', (ground) => {
    expect(contrast(get('ink'), get(ground))).toBeGreaterThanOrEqual(4.5);
  });

  it('what is written on bars, and the darkest of them on its card (WCAG 1.4.11, 3:1)', () => {
    expect(contrast(get('on-chart'), get('chart'))).toBeGreaterThanOrEqual(4.5);
    for (const ground of ['chart2', 'chart3']) {
      expect(contrast(get('ink'), get(ground))).toBeGreaterThanOrEqual(4.5);
    }
    expect(contrast(get('chart'), get('card'))).toBeGreaterThanOrEqual(3);
  });

  it('ink on what was rolled back or failed', () => {
    for (const share of [0.08, 0.24]) {
      expect(contrast(get('ink'), mix(get('st-bad'), get('card'), share))).toBeGreaterThanOrEqual(4.5);
    }
  });

  it('white on the primary button, at rest and under the pointer', () => {
    expect(contrast(get('on-primary'), get('primary'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(get('on-primary'), get('primary-hover'))).toBeGreaterThanOrEqual(4.5);
  });

  it('the focus ring on every ground (WCAG 1.4.11, 3:1)', () => {
    for (const ground of grounds) expect(contrast(get('accent'), get(ground))).toBeGreaterThanOrEqual(3);
  });
});
