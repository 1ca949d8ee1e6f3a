import { IconBan, IconCheck, IconHourglassHigh, IconLock, IconSnowflake } from '@tabler/icons-react';
import type { Gate } from '../api/types';

export interface GateIconProps {
  gate: Pick<Gate, 'gate' | 'open' | 'opensAt'>;
  size?: number;
}

/** Check when open, snowflake for a freeze, ban for a rejection, hourglass for what time opens, else a lock. */
export function GateIcon({ gate, size = 15 }: GateIconProps) {
  const shared = { size, stroke: 1.9, 'aria-hidden': true, style: { flex: 'none' } } as const;
  if (gate.open) return <IconCheck {...shared} color="var(--st-ok)" />;
  if (gate.gate === 'freeze') return <IconSnowflake {...shared} color="var(--st-ice)" />;
  if (gate.gate === 'rejected') return <IconBan {...shared} color="var(--st-bad)" />;
  if (gate.gate === 'hold' || gate.gate === 'origin') return <IconLock {...shared} color="var(--mut)" />;
  return <IconHourglassHigh {...shared} color="var(--st-wait)" />;
}
