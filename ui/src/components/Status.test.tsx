import { render, screen } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { Status } from './Status';
import { statusWords } from './status';

describe('Status', () => {
  it('knows the seven words, worst first', () => {
    expect(statusWords).toEqual(['Failed', 'Waiting', 'Drifted', 'Unknown', 'Progressing', 'Frozen', 'Healthy']);
  });

  it.each(statusWords)('shows %s as word and icon', (word) => {
    const { container } = render(<Status status={word} />);
    expect(screen.getByText(word)).toBeVisible();
    expect(container.querySelectorAll('svg[aria-hidden="true"]')).toHaveLength(1);
  });

  it('gives each word an icon of its own, so that colour is never the only sign', () => {
    const shapes = statusWords.map(
      (word) => render(<Status status={word} />).container.querySelector('svg')?.innerHTML,
    );
    expect(new Set(shapes).size).toBe(statusWords.length);
  });

  it('calls a word it does not know Unknown', () => {
    render(<Status status="Sparkling" />);
    expect(screen.getByText('Unknown')).toBeVisible();
  });
});
