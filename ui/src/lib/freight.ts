import type { FreightInStage, FreightRef, Image } from '../api/types';
import { instant } from './time';

/** What people call a Freight: its version, or the start of its name when no image has a tag. */
export function versionOf(freight: { version?: string; name: string }): string {
  return freight.version || freight.name.slice(0, 7);
}

/** Version and alias, for titles and labels: "2.14.0 tender-otter". */
export function fullName(freight: FreightRef): string {
  return [versionOf(freight), freight.alias].filter(Boolean).join(' ');
}

/** Tag of an image, or the start of its digest: "2.14.0", "sha256:1a2b3c4d5e6f". */
export function imageVersion(image: Image): string {
  return image.tag || image.digest.slice(0, 'sha256:'.length + 12);
}

/** Last part of a repository address: "checkout-api" of "registry.example.com/acme/checkout-api". */
export function shortRepo(repoURL: string): string {
  const parts = repoURL.replace(/\/+$/, '').split('/');
  return (parts.at(-1) ?? repoURL).replace(/\.git$/, '');
}

/** A person's name without the prefix Kubernetes sees: "alice" of "waybill:alice". */
export function personName(user: string | undefined): string {
  if (!user) return '';
  return user === 'waybill:policy' ? 'waybill' : user.replace(/^waybill:/, '');
}

/** The longest stretch, in seconds, that a Freight has soaked in a Stage, the one that goes on included. */
export function soakedIn(place: FreightInStage, now: Date): number {
  const since = instant(place.soakingSince);
  const running = (place.soakedSeconds ?? 0) + (since ? Math.max(0, (now.getTime() - since.getTime()) / 1000) : 0);
  return Math.max(running, place.longestSoakSeconds ?? 0);
}
