import { render, screen } from '@testing-library/react';
import { describe, expect, it } from 'vitest';
import { ExternalLink } from './ExternalLink';

describe('ExternalLink', () => {
  it('links to http and https', () => {
    render(<ExternalLink href="https://git.example.com/guestbook">repository</ExternalLink>);
    const link = screen.getByRole('link', { name: 'repository' });
    expect(link).toHaveAttribute('href', 'https://git.example.com/guestbook');
    expect(link).toHaveAttribute('rel', 'noopener noreferrer');
  });

  it.each([
    'javascript:alert(1)',
    ' JaVaScript:alert(1)',
    'data:text/html,x',
    'ftp://x/y',
    '//x/y',
    'https://me:secret@x/',
    '',
    undefined,
  ])('leaves %s as text', (href) => {
    const { container } = render(<ExternalLink href={href}>repository</ExternalLink>);
    expect(container.querySelector('a')).toBeNull();
    expect(screen.getByText('repository')).toBeVisible();
  });
});
