import { useNavigate } from '@tanstack/react-router';
import { useCallback } from 'react';
import type { StatusWord } from '../api/types';
import { statusWords } from '../components/status';

/** Which dialog is open, in the address: the value of promote, rollback or why is the Stage. */
export interface DialogSearch {
  promote?: string;
  rollback?: string;
  why?: string;
  /** Name of the Freight the dialog is about. */
  with?: string;
}

export interface PipelineSearch extends DialogSearch {
  /** Name of the selected Freight. */
  freight?: string;
  /** Absent: the graph, on a phone the list. */
  view?: 'graph' | 'list';
}

export interface ProjectsSearch {
  q?: string;
  status?: StatusWord;
}

function text(value: unknown): string | undefined {
  // the router reads ?with=123 as a number
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' && value.length <= 253 ? value : undefined;
}

/** Reads the dialog's part of an address; unknown or broken values are dropped. */
export function dialogSearch(raw: Record<string, unknown>): DialogSearch {
  return { promote: text(raw.promote), rollback: text(raw.rollback), why: text(raw.why), with: text(raw.with) };
}

/** Reads the pipeline page's address. */
export function pipelineSearch(raw: Record<string, unknown>): PipelineSearch {
  const view = raw.view === 'graph' || raw.view === 'list' ? raw.view : undefined;
  return { ...dialogSearch(raw), freight: text(raw.freight), view };
}

/** Reads the projects page's address. */
export function projectsSearch(raw: Record<string, unknown>): ProjectsSearch {
  return { q: text(raw.q), status: statusWords.find((word) => word === raw.status) };
}

const closed: DialogSearch = { promote: undefined, rollback: undefined, why: undefined, with: undefined };

/** Opens a dialog by changing the address, or closes it with no argument. What else is in the address stays. */
export function useDialog(): (open?: DialogSearch) => void {
  const navigate = useNavigate();
  return useCallback(
    (open) => {
      navigate({ to: '.', search: (before: object) => ({ ...before, ...closed, ...open }) });
    },
    [navigate],
  );
}
