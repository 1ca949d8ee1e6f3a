// The only speller of addresses: the dashboard's own and the API's.

/** Route patterns, as the router reads them. */
export const routes = {
  login: '/login',
  projects: '/projects',
  pipeline: '/projects/$project',
  stage: '/projects/$project/stages/$stage',
} as const;

const root = '/api/v1';
const seg = encodeURIComponent;

/** Addresses of the API. Names are escaped. */
export const api = {
  login: () => `${root}/login`,
  logout: () => `${root}/logout`,
  me: () => `${root}/me`,
  permissions: (project: string) => `${root}/me/permissions?project=${seg(project)}`,
  version: () => '/version',
  projects: () => `${root}/projects`,
  pipeline: (project: string) => `${root}/projects/${seg(project)}/pipeline`,
  stage: (project: string, stage: string) => `${root}/projects/${seg(project)}/stages/${seg(stage)}`,
  plan: (project: string, stage: string, freight: string) =>
    `${api.stage(project, stage)}/plan?freight=${seg(freight)}`,
  why: (project: string, stage: string, freight: string) => `${api.stage(project, stage)}/why?freight=${seg(freight)}`,
  promote: (project: string, stage: string) => `${api.stage(project, stage)}/promotions`,
  rollback: (project: string, stage: string, to?: string) =>
    `${api.stage(project, stage)}/rollback${to === undefined ? '' : `?to=${seg(to)}`}`,
  hold: (project: string, stage: string) => `${api.stage(project, stage)}/hold`,
  resume: (project: string, stage: string) => `${api.stage(project, stage)}/resume`,
  freezes: (project: string) => `${root}/projects/${seg(project)}/freezes`,
  freeze: (project: string, name: string) => `${api.freezes(project)}/${seg(name)}`,
  refresh: (project: string, warehouse: string) =>
    `${root}/projects/${seg(project)}/warehouses/${seg(warehouse)}/refresh`,
  events: (topics: string[]) => `${root}/events?topics=${topics.map(seg).join(',')}`,
} as const;

/** Topics of the event stream. */
export const topics = {
  projects: () => 'projects',
  pipeline: (project: string) => `pipeline:${project}`,
} as const;
