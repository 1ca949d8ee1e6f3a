import { IconCircleDashed, IconCircleMinus, IconCircleOff } from '@tabler/icons-react';
import type { CheckPhase, Step } from '../api/types';
import { StatusIcon } from './StatusIcon';

/** How a step or a check stands, in the icons of the status words where one fits. */
export function StepIcon({ state, size = 16 }: { state: Step['state'] | CheckPhase; size?: number }) {
  const shared = { size, stroke: 1.8, color: 'var(--mut)', role: 'img', style: { flex: 'none' } } as const;
  switch (state) {
    case 'Succeeded':
      return <StatusIcon status="Healthy" size={size} label="Succeeded" />;
    case 'Failed':
      return <StatusIcon status="Failed" size={size} label="Failed" />;
    case 'Running':
      return <StatusIcon status="Progressing" size={size} label="Running" />;
    case 'Waiting':
      return <StatusIcon status="Waiting" size={size} label="Waiting" />;
    case 'Inconclusive':
      return <StatusIcon status="Unknown" size={size} label="Inconclusive" />;
    case 'Pending':
      return <IconCircleDashed {...shared} aria-label="Not started" />;
    case 'Skipped':
      return <IconCircleMinus {...shared} aria-label="Not started" />;
    default:
      return <IconCircleOff {...shared} aria-label={state} />;
  }
}
