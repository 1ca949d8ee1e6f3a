import type { Application, Drift, Permissions } from '../api/types';

/** A recorded change, and the Application whose object was changed. */
export interface DriftOf {
  app: Application;
  drift: Drift;
}

/** Names a change in an address. */
export function driftKey({ app, drift }: DriftOf): string {
  return [app.name, drift.group ?? '', drift.kind, drift.namespace ?? '', drift.name, drift.field ?? ''].join(' ');
}

/** The recorded changes of some Applications, newest first. */
export function driftsOf(applications: Application[]): DriftOf[] {
  return applications
    .flatMap((app) => (app.drifts ?? []).map((drift) => ({ app, drift })))
    .sort((a, b) => b.drift.at.localeCompare(a.drift.at));
}

const leftAlone = ['Reported', 'Announced', 'Paused'];

/** Those that nobody has taken back yet, each once. */
export function openDrifts(drifts: DriftOf[]): DriftOf[] {
  const seen = new Set<string>();
  return drifts.filter((each) => {
    const key = driftKey(each);
    if (seen.has(key)) return false;
    seen.add(key);
    return each.app.drifting === true && leftAlone.includes(each.drift.action);
  });
}

/** Whether a change may be committed at all: no deletion, and nothing that a Secret holds. */
export function isAcceptable({ drift }: DriftOf): boolean {
  return drift.field !== undefined && drift.field !== '' && !(drift.kind === 'Secret' && !drift.group);
}

/** What the person may do about drift of a Stage, as the server says. */
export function mayAbout(permissions: Permissions | undefined, stage: string | undefined) {
  const mine = permissions?.stages?.find((each) => each.stage === stage);
  return {
    heal: permissions?.sync ?? false,
    accept: permissions?.accept ?? false,
    pause: mine?.hold ?? false,
  };
}
