import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  type ErrorComponentProps,
  lazyRouteComponent,
  Outlet,
  type RouterHistory,
  redirect,
} from '@tanstack/react-router';
import { Problem } from './api/problem';
import { sessionOptions } from './api/session';
import { ErrorState } from './components/ErrorState';
import { Shell } from './components/Shell';
import {
  auditSearch,
  clustersSearch,
  dialogSearch,
  inboxSearch,
  insightsSearch,
  pipelineSearch,
  projectsSearch,
  promotionSearch,
  resourcesSearch,
} from './lib/search';
import { AuditPage } from './pages/audit/AuditPage';
import { ClustersPage } from './pages/clusters/ClustersPage';
import { FreightPage } from './pages/freight/FreightPage';
import { InboxPage } from './pages/inbox/InboxPage';
import { LoginPage } from './pages/login/LoginPage';
import { PipelinePage } from './pages/pipeline/PipelinePage';
import { ProjectsPage } from './pages/projects/ProjectsPage';
import { PromotionPage } from './pages/promotion/PromotionPage';
import { ResourcesPage } from './pages/resources/ResourcesPage';
import { ReviewPage } from './pages/review/ReviewPage';
import { SourcesPage } from './pages/sources/SourcesPage';
import { StagePage } from './pages/stage/StagePage';
import { routes } from './paths';

// The map of the dashboard: every page, its address, and what it reads from the address.

interface Context {
  client: QueryClient;
}

const root = createRootRouteWithContext<Context>()({
  component: Outlet,
  errorComponent: Broken,
  notFoundComponent: NotFound,
});

/** A search parameter; the router makes numbers of what looks like one. */
function text(raw: unknown): string | undefined {
  return typeof raw === 'string' || typeof raw === 'number' ? String(raw) : undefined;
}

const login = createRoute({
  getParentRoute: () => root,
  path: routes.login,
  validateSearch: (raw: Record<string, unknown>): { next?: string; sso?: string; request?: string } => ({
    next: text(raw.next),
    sso: text(raw.sso),
    request: text(raw.request),
  }),
  component: function Login() {
    const { next, sso, request } = login.useSearch();
    return <LoginPage next={next} refused={sso === undefined ? undefined : { why: sso, request }} />;
  },
});

/** Everything behind the sign-in. */
const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  beforeLoad: async ({ context, location }) => {
    try {
      await context.client.ensureQueryData(sessionOptions());
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 401) {
        throw redirect({ to: routes.login, search: { next: location.href === '/' ? undefined : location.href } });
      }
      throw problem;
    }
  },
  component: function Inside() {
    return (
      <Shell>
        <Outlet />
      </Shell>
    );
  },
});

const start = createRoute({
  getParentRoute: () => inside,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: routes.projects });
  },
});

const projects = createRoute({
  getParentRoute: () => inside,
  path: routes.projects,
  validateSearch: projectsSearch,
  component: function Projects() {
    return <ProjectsPage search={projects.useSearch()} />;
  },
});

const pipeline = createRoute({
  getParentRoute: () => inside,
  path: routes.pipeline,
  validateSearch: pipelineSearch,
  component: function Pipeline() {
    const { project } = pipeline.useParams();
    return <PipelinePage key={project} project={project} search={pipeline.useSearch()} />;
  },
});

const stage = createRoute({
  getParentRoute: () => inside,
  path: routes.stage,
  validateSearch: dialogSearch,
  component: function Stage() {
    const { project, stage: name } = stage.useParams();
    return <StagePage key={`${project}/${name}`} project={project} stage={name} search={stage.useSearch()} />;
  },
});

const resources = createRoute({
  getParentRoute: () => inside,
  path: routes.resources,
  validateSearch: resourcesSearch,
  component: function Resources() {
    const { project, stage: name } = resources.useParams();
    return <ResourcesPage key={`${project}/${name}`} project={project} stage={name} search={resources.useSearch()} />;
  },
});

const audit = createRoute({
  getParentRoute: () => inside,
  path: routes.audit,
  validateSearch: auditSearch,
  component: function Audit() {
    const { project } = audit.useParams();
    return <AuditPage key={project} project={project} search={audit.useSearch()} />;
  },
});

const sources = createRoute({
  getParentRoute: () => inside,
  path: routes.sources,
  component: function Sources() {
    const { project } = sources.useParams();
    return <SourcesPage key={project} project={project} />;
  },
});

const inbox = createRoute({
  getParentRoute: () => inside,
  path: routes.inbox,
  validateSearch: inboxSearch,
  component: function Inbox() {
    return <InboxPage search={inbox.useSearch()} />;
  },
});

const insights = createRoute({
  getParentRoute: () => inside,
  path: routes.insights,
  validateSearch: insightsSearch,
  // few open it, so only they load it
  component: lazyRouteComponent(() => import('./pages/insights/InsightsPage'), 'InsightsRoute'),
});

const clusters = createRoute({
  getParentRoute: () => inside,
  path: routes.clusters,
  validateSearch: clustersSearch,
  component: function Clusters() {
    return <ClustersPage search={clusters.useSearch()} />;
  },
});

const promotion = createRoute({
  getParentRoute: () => inside,
  path: routes.promotion,
  validateSearch: promotionSearch,
  component: function Promotion() {
    const { project, promotion: name } = promotion.useParams();
    return (
      <PromotionPage key={`${project}/${name}`} project={project} promotion={name} search={promotion.useSearch()} />
    );
  },
});

const freight = createRoute({
  getParentRoute: () => inside,
  path: routes.freight,
  validateSearch: dialogSearch,
  component: function FreightRoute() {
    const { project, freight: name } = freight.useParams();
    return <FreightPage key={`${project}/${name}`} project={project} freight={name} search={freight.useSearch()} />;
  },
});

const review = createRoute({
  getParentRoute: () => inside,
  path: routes.review,
  component: function Review() {
    const { project, promotion: name } = review.useParams();
    return <ReviewPage key={`${project}/${name}`} project={project} promotion={name} />;
  },
});

const tree = root.addChildren([
  login,
  inside.addChildren([
    start,
    projects,
    pipeline,
    audit,
    sources,
    stage,
    resources,
    promotion,
    freight,
    inbox,
    insights,
    clusters,
    review,
  ]),
]);

function Broken({ error, reset }: ErrorComponentProps) {
  return (
    <main style={{ padding: 14 }}>
      <ErrorState error={error} what="This page" onRetry={reset} />
    </main>
  );
}

function NotFound() {
  return (
    <main style={{ padding: 14 }}>
      <ErrorState
        error={new Problem({ status: 404, code: 'not-found', detail: 'there is no page at this address' })}
        what="This page"
        onRetry={() => window.location.assign(routes.projects)}
      />
    </main>
  );
}

/** The router over these pages. `history` is given in tests only. */
export function makeRouter(client: QueryClient, history?: RouterHistory) {
  return createRouter({ routeTree: tree, context: { client }, history, defaultPendingMs: 1500 });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
