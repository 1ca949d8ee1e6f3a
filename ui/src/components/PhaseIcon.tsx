import { IconArrowBackUp, IconCircleOff, IconPlayerSkipForward, IconThumbDown } from '@tabler/icons-react';
import type { Phase } from '../api/types';
import { StatusIcon } from './StatusIcon';

export interface PhaseIconProps {
  phase: Phase;
  size?: number;
}

/** How a Promotion stands or ended, in the icons of the status words where one fits. */
export function PhaseIcon({ phase, size = 15 }: PhaseIconProps) {
  const shared = { size, stroke: 1.8, color: 'var(--mut)', role: 'img', style: { flex: 'none' } } as const;
  switch (phase) {
    case 'Succeeded':
      return <StatusIcon status="Healthy" size={size} label="Succeeded" />;
    case 'Failed':
      return <StatusIcon status="Failed" size={size} label="Failed" />;
    case 'Pending':
      return <StatusIcon status="Waiting" size={size} label="Pending" />;
    case 'RolledBack':
      return <IconArrowBackUp {...shared} aria-label="Rolled back" />;
    case 'Rejected':
      return <IconThumbDown {...shared} aria-label="Rejected" />;
    case 'Aborted':
      return <IconCircleOff {...shared} aria-label="Aborted" />;
    case 'Superseded':
      return <IconPlayerSkipForward {...shared} aria-label="Superseded" />;
    default:
      return <StatusIcon status="Progressing" size={size} label={phase} />;
  }
}
