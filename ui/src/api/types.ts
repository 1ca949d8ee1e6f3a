// The names the pages use for what the API answers.

export type StatusWord = 'Healthy' | 'Progressing' | 'Waiting' | 'Frozen' | 'Drifted' | 'Failed' | 'Unknown';

/** One gate's verdict about one Freight and one Stage, worked out by the server. */
export interface Gate {
  gate: string;
  group: 'Entry' | 'Start';
  open: boolean;
  bypassed?: boolean;
  reason?: string;
  opensAt?: string;
  opensBy?: string;
}
