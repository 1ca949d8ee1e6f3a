import { useNavigate } from '@tanstack/react-router';
import { useCallback } from 'react';
import type { StatusWord } from '../api/types';
import { statusWords } from '../components/status';
import { type GroupID, groups } from '../pages/audit/groups';

/** Which dialog is open, in the address: the value of promote, rollback, why, freeze or hold is the Stage. */
export interface DialogSearch {
  promote?: string;
  rollback?: string;
  why?: string;
  /** `*` freezes every Stage of the project. */
  freeze?: string;
  hold?: string;
  /** Name of the Stage whose healing is to be paused. */
  pause?: string;
  /** Key of the drift to take back, or to commit: see lib/drift. */
  heal?: string;
  accept?: string;
  /** Name of the Freeze to end. */
  thaw?: string;
  /** Name of the Promotion to decide about. */
  review?: string;
  /** Name of the Freight the dialog is about. */
  with?: string;
  /** Name of the Promotion that the promotion is to try again. */
  retry?: string;
}

export interface PipelineSearch extends DialogSearch {
  /** Name of the selected Freight. */
  freight?: string;
  /** Absent: the graph, on a phone the list. */
  view?: 'graph' | 'list' | 'matrix';
}

export interface PromotionSearch extends DialogSearch {
  /** Absent: steps. */
  tab?: 'steps' | 'changes' | 'yaml';
  /** Key of the step in view. */
  step?: string;
  /** The dialog that aborts is open. */
  abort?: true;
}

export interface ProjectsSearch {
  q?: string;
  status?: StatusWord;
}

export interface ResourcesSearch {
  /** Name of the Application; absent: the Stage's first. */
  app?: string;
  /** Key of the object in view; absent: all. */
  object?: string;
  /** Absent: events. */
  tab?: 'logs';
}

export interface AuditSearch {
  /** What to show; absent for everything. */
  show?: GroupID;
}

export interface InsightsSearch {
  /** Absent: every Project one may see. */
  project?: string;
  /** Absent: the Stages that no other Stage takes Freight from. Only with a project. */
  stage?: string;
  /** Absent: 30 days. */
  range?: '7d' | '90d';
}

export interface ClustersSearch {
  /** Name of the cluster whose kubeconfig is to be replaced, or that is to be removed. */
  rotate?: string;
  remove?: string;
}

export interface InboxSearch {
  q?: string;
  state?: 'done';
  /** Key of the row whose decision is in view. */
  open?: string;
}

function text(value: unknown): string | undefined {
  // the router reads ?with=123 as a number
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' && value.length <= 253 ? value : undefined;
}

function long(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= 2048 ? value : undefined;
}

/** Reads the dialog's part of an address; unknown or broken values are dropped. */
export function dialogSearch(raw: Record<string, unknown>): DialogSearch {
  return {
    promote: text(raw.promote),
    rollback: text(raw.rollback),
    why: text(raw.why),
    freeze: text(raw.freeze),
    hold: text(raw.hold),
    pause: text(raw.pause),
    heal: long(raw.heal),
    accept: long(raw.accept),
    thaw: text(raw.thaw),
    review: text(raw.review),
    with: text(raw.with),
    retry: text(raw.retry),
  };
}

/** Reads the pipeline page's address. */
export function pipelineSearch(raw: Record<string, unknown>): PipelineSearch {
  const view = raw.view === 'graph' || raw.view === 'list' || raw.view === 'matrix' ? raw.view : undefined;
  return { ...dialogSearch(raw), freight: text(raw.freight), view };
}

/** Reads the projects page's address. */
export function projectsSearch(raw: Record<string, unknown>): ProjectsSearch {
  return { q: text(raw.q), status: statusWords.find((word) => word === raw.status) };
}

/** Reads a promotion page's address. */
export function promotionSearch(raw: Record<string, unknown>): PromotionSearch {
  const tab = raw.tab === 'changes' || raw.tab === 'yaml' ? raw.tab : undefined;
  return { ...dialogSearch(raw), tab, step: text(raw.step), abort: raw.abort === true ? true : undefined };
}

/** Reads the resources page's address. */
export function resourcesSearch(raw: Record<string, unknown>): ResourcesSearch {
  const object = typeof raw.object === 'string' && raw.object.length <= 640 ? raw.object : undefined;
  return { app: text(raw.app), object, tab: raw.tab === 'logs' ? 'logs' : undefined };
}

/** Reads the audit page's address. */
export function auditSearch(raw: Record<string, unknown>): AuditSearch {
  return { show: groups.find((group) => group.id === raw.show)?.id };
}

/** Reads the insights page's address. */
export function insightsSearch(raw: Record<string, unknown>): InsightsSearch {
  const project = text(raw.project);
  const range = raw.range === '7d' || raw.range === '90d' ? raw.range : undefined;
  return { project, stage: project && text(raw.stage), range };
}

/** Reads the clusters page's address. */
export function clustersSearch(raw: Record<string, unknown>): ClustersSearch {
  return { rotate: text(raw.rotate), remove: text(raw.remove) };
}

/** Reads the inbox page's address. */
export function inboxSearch(raw: Record<string, unknown>): InboxSearch {
  return { q: text(raw.q), state: raw.state === 'done' ? 'done' : undefined, open: text(raw.open) };
}

// as dialogSearch({}), every part of it named
const closed: DialogSearch = dialogSearch({});

/** Whether the address asks for a dialog: keys of the page below do nothing then. */
export function isDialogOpen(search: DialogSearch): boolean {
  const { with: _, retry: __, ...dialogs } = dialogSearch({ ...search });
  return Object.values(dialogs).some(Boolean);
}

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
