import type { ReactNode } from 'react';

export interface ExternalLinkProps {
  href: string | undefined;
  children: ReactNode;
}

/**
 * The one way out of the dashboard. Text that came from a repository, a registry or a person may name any
 * address; only http and https become a link, everything else stays text.
 */
export function ExternalLink({ href, children }: ExternalLinkProps) {
  const safe = webAddress(href);
  if (!safe) return <>{children}</>;
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer" className="external">
      {children}
    </a>
  );
}

/** The address if it is a http or https address without user info, undefined otherwise. */
export function webAddress(text: string | undefined): string | undefined {
  if (!text) return undefined;
  try {
    const url = new URL(text);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
    return url.username || url.password ? undefined : url.href;
  } catch {
    return undefined;
  }
}
