// The only speller of addresses: the dashboard's own and the API's.

/** Route patterns, as the router reads them. */
export const routes = {
  login: '/login',
  projects: '/projects',
  pipeline: '/projects/$project',
  sources: '/projects/$project/sources',
  stage: '/projects/$project/stages/$stage',
  resources: '/projects/$project/stages/$stage/resources',
  promotion: '/projects/$project/promotions/$promotion',
  freight: '/projects/$project/freight/$freight',
  review: '/projects/$project/review/$promotion',
  inbox: '/inbox',
  audit: '/projects/$project/audit',
  insights: '/insights',
  clusters: '/clusters',
} as const;

const root = '/api/v1';
const seg = encodeURIComponent;

/** Addresses of the API. Names are escaped. */
export const api = {
  login: () => `${root}/login`,
  /** A page to open, not a call: it leads to the identity provider and comes back to `next`. */
  sso: (next: string) => `${root}/login/sso?next=${seg(next)}`,
  logout: () => `${root}/logout`,
  me: () => `${root}/me`,
  password: () => `${root}/me/password`,
  permissions: (project: string) => `${root}/me/permissions?project=${seg(project)}`,
  myPermissions: () => `${root}/me/permissions`,
  version: () => '/version',
  projects: () => `${root}/projects`,
  pipeline: (project: string) => `${root}/projects/${seg(project)}/pipeline`,
  timeline: (project: string) => `${root}/projects/${seg(project)}/timeline`,
  stage: (project: string, stage: string) => `${root}/projects/${seg(project)}/stages/${seg(stage)}`,
  plan: (project: string, stage: string, freight: string) =>
    `${api.stage(project, stage)}/plan?freight=${seg(freight)}`,
  why: (project: string, stage: string, freight: string) => `${api.stage(project, stage)}/why?freight=${seg(freight)}`,
  promote: (project: string, stage: string) => `${api.stage(project, stage)}/promotions`,
  rollback: (project: string, stage: string, to?: string) =>
    `${api.stage(project, stage)}/rollback${to === undefined ? '' : `?to=${seg(to)}`}`,
  verify: (project: string, stage: string) => `${api.stage(project, stage)}/verify`,
  hold: (project: string, stage: string) => `${api.stage(project, stage)}/hold`,
  resume: (project: string, stage: string, healing = false) =>
    `${api.stage(project, stage)}/resume${healing ? '?healing=true' : ''}`,
  freezes: (project: string) => `${root}/projects/${seg(project)}/freezes`,
  freeze: (project: string, name: string) => `${api.freezes(project)}/${seg(name)}`,
  refresh: (project: string, warehouse: string) =>
    `${root}/projects/${seg(project)}/warehouses/${seg(warehouse)}/refresh`,
  webhooks: (project: string) => `${root}/projects/${seg(project)}/webhooks`,
  freight: (project: string, freight: string) => `${root}/projects/${seg(project)}/freight/${seg(freight)}`,
  promotion: (project: string, promotion: string) => `${root}/projects/${seg(project)}/promotions/${seg(promotion)}`,
  promotionPlan: (project: string, promotion: string) => `${api.promotion(project, promotion)}/plan`,
  approve: (project: string, promotion: string) => `${api.promotion(project, promotion)}/approve`,
  reject: (project: string, promotion: string) => `${api.promotion(project, promotion)}/reject`,
  revoke: (project: string, promotion: string) => `${api.promotion(project, promotion)}/revoke`,
  abort: (project: string, promotion: string) => `${api.promotion(project, promotion)}/abort`,
  retry: (project: string, promotion: string) => `${api.promotion(project, promotion)}/retry`,
  application: (project: string, name: string) => `${root}/projects/${seg(project)}/applications/${seg(name)}`,
  sync: (project: string, name: string) => `${api.application(project, name)}/sync`,
  accept: (project: string, name: string) => `${api.application(project, name)}/accept`,
  tree: (project: string, name: string) => `${api.application(project, name)}/tree`,
  objectEvents: (project: string, name: string) => `${api.application(project, name)}/events`,
  logs: (project: string, name: string, of?: { kind: string; name: string }) =>
    `${api.application(project, name)}/logs${of === undefined ? '' : `?kind=${seg(of.kind)}&name=${seg(of.name)}`}`,
  inbox: () => `${root}/inbox`,
  audit: (project: string, actions: readonly string[], page?: string) => {
    const query = new URLSearchParams(actions.map((action) => ['action', action]));
    if (page) query.set('page', page);
    return `${root}/projects/${seg(project)}/audit${query.size > 0 ? `?${query}` : ''}`;
  },
  insights: (range: string, project?: string, stage?: string) => {
    const query = new URLSearchParams({ range });
    if (project) query.set('project', project);
    if (stage) query.set('stage', stage);
    return `${root}/insights?${query}`;
  },
  clusters: () => `${root}/clusters`,
  cluster: (name: string) => `${root}/clusters/${seg(name)}`,
  testCluster: (name: string) => `${api.cluster(name)}/test`,
  rotateCluster: (name: string) => `${api.cluster(name)}/rotate`,
  removeCluster: (name: string, force: boolean) => `${api.cluster(name)}${force ? '?force=true' : ''}`,
  definition: (project: string, kind: string, name: string) =>
    `${root}/projects/${seg(project)}/definitions/${seg(kind)}/${seg(name)}`,
  events: (topics: string[]) => `${root}/events?topics=${topics.map(seg).join(',')}`,
} as const;

/** Topics of the event stream. */
export const topics = {
  projects: () => 'projects',
  pipeline: (project: string) => `pipeline:${project}`,
  promotion: (project: string, name: string) => `promotion:${project}/${name}`,
  inbox: () => 'inbox',
} as const;
