import type { Application } from '../api/types';
import { StatusIcon } from './StatusIcon';

export interface HealthIconProps {
  health: Application['health'];
  label?: string;
}

/** The icon of the status word that looks like this health word. */
export function HealthIcon({ health, label }: HealthIconProps) {
  return <StatusIcon status={looksLike[health] ?? 'Unknown'} size={16} label={label ?? health} />;
}

const looksLike: Record<Application['health'], string> = {
  Healthy: 'Healthy',
  Progressing: 'Progressing',
  Degraded: 'Failed',
  Missing: 'Failed',
  Suspended: 'Waiting',
  Unknown: 'Unknown',
};
