import {
  IconAlertTriangleFilled,
  IconCircleCheckFilled,
  IconClockHour4,
  IconGitCompare,
  IconHelpCircle,
  IconLoader2,
  IconSnowflake,
  type TablerIcon,
} from '@tabler/icons-react';
import type { Phase, StatusWord } from '../api/types';

export interface StatusLook {
  icon: TablerIcon;
  /** The CSS colour of icon and word. */
  color: string;
  /** Lower comes first where the worst is shown first. */
  severity: number;
}

/** The one status vocabulary: each word has an icon and a colour, and nothing else in the dashboard owns a colour. */
export const statusLooks: Record<StatusWord, StatusLook> = {
  Failed: { icon: IconAlertTriangleFilled, color: 'var(--st-bad)', severity: 0 },
  Waiting: { icon: IconClockHour4, color: 'var(--st-wait)', severity: 1 },
  Drifted: { icon: IconGitCompare, color: 'var(--st-drift)', severity: 2 },
  Unknown: { icon: IconHelpCircle, color: 'var(--st-unk)', severity: 3 },
  Progressing: { icon: IconLoader2, color: 'var(--st-run)', severity: 4 },
  Frozen: { icon: IconSnowflake, color: 'var(--st-ice)', severity: 5 },
  Healthy: { icon: IconCircleCheckFilled, color: 'var(--st-ok)', severity: 6 },
};

/** The seven words, worst first. */
export const statusWords = (Object.keys(statusLooks) as StatusWord[]).sort(
  (a, b) => statusLooks[a].severity - statusLooks[b].severity,
);

/** The word if it is one of the seven, Unknown otherwise: a newer server may know more words than this page. */
export function statusWord(text: string | undefined): StatusWord {
  return text !== undefined && text in statusLooks ? (text as StatusWord) : 'Unknown';
}

/** The status word a Promotion's phase looks like; what ended otherwise than well or badly has none of its own. */
export const statusOfPhase: Record<Phase, StatusWord> = {
  Pending: 'Waiting',
  Running: 'Progressing',
  Syncing: 'Progressing',
  Verifying: 'Progressing',
  Succeeded: 'Healthy',
  Failed: 'Failed',
  Rejected: 'Unknown',
  Aborted: 'Unknown',
  Superseded: 'Unknown',
  RolledBack: 'Unknown',
};
