import { queryOptions, useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useLiveModel } from '../live/live';
import { api, topics } from '../paths';
import { call } from './client';
import type {
  AcceptRequest,
  AcceptResult,
  AuditAction,
  AuditList,
  Clusters,
  ContainerLogs,
  DecisionRequest,
  Freeze,
  FreezeRequest,
  Freight,
  HoldRequest,
  Inbox,
  InsightsReport,
  ObjectEvents,
  Permissions,
  Pipeline,
  Plan,
  Projects,
  PromoteRequest,
  Promotion,
  ResourceTree,
  RollbackPreview,
  RollbackRequest,
  StageDetail,
  StagePermissions,
  SyncRequest,
  Timeline,
  VerifyRequest,
  WebhookList,
  Why,
} from './types';

// A page model is fetched once; from then on the event stream replaces it.
const live = { staleTime: Number.POSITIVE_INFINITY, refetchOnWindowFocus: false, refetchOnReconnect: false } as const;

export const keys = {
  projects: ['projects'] as const,
  pipeline: (project: string) => ['pipeline', project] as const,
  timeline: (project: string) => ['timeline', project] as const,
  permissions: (project: string) => ['permissions', project] as const,
  stage: (project: string, stage: string) => ['stage', project, stage] as const,
  plan: (project: string, stage: string, freight: string) => ['plan', project, stage, freight] as const,
  why: (project: string, stage: string, freight: string) => ['why', project, stage, freight] as const,
  freight: (project: string, name: string) => ['freight', project, name] as const,
  promotion: (project: string, name: string) => ['promotion', project, name] as const,
  promotionPlan: (project: string, name: string) => ['promotion-plan', project, name] as const,
  definition: (project: string, kind: string, name: string) => ['definition', project, kind, name] as const,
  webhooks: (project: string) => ['webhooks', project] as const,
  tree: (project: string, app: string) => ['tree', project, app] as const,
  objectEvents: (project: string, app: string) => ['object-events', project, app] as const,
  logs: (project: string, app: string, of: string) => ['logs', project, app, of] as const,
  inbox: ['inbox'] as const,
  audit: (project: string, actions: readonly string[]) => ['audit', project, ...actions] as const,
  insights: (range: string, project = '', stage = '') => ['insights', range, project, stage] as const,
  clusters: ['clusters'] as const,
  myPermissions: ['permissions'] as const,
  rollback: (project: string, stage: string, to: string | undefined) => ['rollback', project, stage, to ?? ''] as const,
};

/** The projects page, live. */
export function useProjects() {
  const query = useQuery({
    queryKey: keys.projects,
    queryFn: ({ signal }) => call<Projects>(api.projects(), { signal }),
    ...live,
  });
  useLiveModel(topics.projects(), keys.projects, query.data);
  return query;
}

/** The pipeline of a project, live. */
export function usePipeline(project: string) {
  const queryKey = keys.pipeline(project);
  const query = useQuery({
    queryKey,
    queryFn: ({ signal }) => call<Pipeline>(api.pipeline(project), { signal }),
    ...live,
  });
  useLiveModel(topics.pipeline(project), queryKey, query.data);
  return query;
}

/** What ran where. Asked for again each minute: what happens comes by the stream, and every open page would ask at once. */
export function useTimeline(project: string) {
  return useQuery({
    queryKey: keys.timeline(project),
    queryFn: ({ signal }) => call<Timeline>(api.timeline(project), { signal }),
    refetchInterval: 60_000,
    staleTime: 60_000,
  });
}

/** How delivery went, of one Project or of all. Asked for again now and then, since time goes on. */
export function useInsights(range: string, project: string | undefined, stage: string | undefined) {
  return useQuery({
    queryKey: keys.insights(range, project, stage),
    queryFn: ({ signal }) => call<InsightsReport>(api.insights(range, project, stage), { signal }),
    refetchInterval: 300_000,
    staleTime: 60_000,
  });
}

/** Webhook receivers and what they were sent. No stream tells of messages, so it is looked at every ten seconds. */
export function useWebhooks(project: string) {
  return useQuery({
    queryKey: keys.webhooks(project),
    queryFn: ({ signal }) => call<WebhookList>(api.webhooks(project), { signal }),
    refetchInterval: 10_000,
  });
}

/** What the person may do in a project, for its buttons. The server decides again when they are pressed. */
export function usePermissions(project: string) {
  return useQuery({
    queryKey: keys.permissions(project),
    queryFn: ({ signal }) => call<Permissions>(api.permissions(project), { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** What the person may do with one Stage; undefined until known. */
export function useStagePermissions(project: string, stage: string): StagePermissions | undefined {
  return usePermissions(project).data?.stages?.find((each) => each.stage === stage);
}

/** A Stage's latest promotions and conditions, fetched once per visit; what moves comes with the pipeline. */
export function useStageDetail(project: string, stage: string) {
  return useQuery({
    queryKey: keys.stage(project, stage),
    queryFn: ({ signal }) => call<StageDetail>(api.stage(project, stage), { signal }),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

/** What a promotion would change. Made anew each time the dialog asks. */
export function planOptions(project: string, stage: string, freight: string) {
  return queryOptions({
    queryKey: keys.plan(project, stage, freight),
    queryFn: ({ signal }) => call<Plan>(api.plan(project, stage, freight), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Every gate's verdict, open ones included. */
export function whyOptions(project: string, stage: string, freight: string) {
  return queryOptions({
    queryKey: keys.why(project, stage, freight),
    queryFn: ({ signal }) => call<Why>(api.why(project, stage, freight), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** One Freight by name, alias or version, as it was when it was asked for. */
export function freightOptions(project: string, freight: string) {
  return queryOptions({
    queryKey: keys.freight(project, freight),
    queryFn: ({ signal }) => call<Freight>(api.freight(project, freight), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** One Promotion, live. */
export function usePromotion(project: string, name: string) {
  const queryKey = keys.promotion(project, name);
  const query = useQuery({
    queryKey,
    queryFn: ({ signal }) => call<Promotion>(api.promotion(project, name), { signal }),
    ...live,
  });
  useLiveModel(topics.promotion(project, name), queryKey, query.data);
  return query;
}

/** What a Promotion that waits is going to change. Made anew each time somebody looks at it. */
export function promotionPlanOptions(project: string, name: string) {
  return queryOptions({
    queryKey: keys.promotionPlan(project, name),
    queryFn: ({ signal }) => call<Plan>(api.promotionPlan(project, name), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

// No stream tells of what lives in clusters, so while somebody looks it is looked at every ten seconds.
const looked = { refetchInterval: 10_000, gcTime: 0 } as const;

/** What an Application has in its cluster, and what that owns. */
export function treeOptions(project: string, app: string) {
  return queryOptions({
    queryKey: keys.tree(project, app),
    queryFn: ({ signal }) => call<ResourceTree>(api.tree(project, app), { signal }),
    ...looked,
  });
}

/** What happened to an Application and its objects. */
export function objectEventsOptions(project: string, app: string) {
  return queryOptions({
    queryKey: keys.objectEvents(project, app),
    queryFn: ({ signal }) => call<ObjectEvents>(api.objectEvents(project, app), { signal }),
    ...looked,
  });
}

/** What containers wrote last, of one object or of all. Read when somebody asks. */
export function logsOptions(project: string, app: string, of: { kind: string; name: string } | undefined) {
  return queryOptions({
    queryKey: keys.logs(project, app, of ? `${of.kind}/${of.name}` : ''),
    queryFn: ({ signal }) => call<ContainerLogs>(api.logs(project, app, of), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** An object in its Kubernetes shape. */
export function definitionOptions(project: string, kind: string, name: string) {
  return queryOptions({
    queryKey: keys.definition(project, kind, name),
    queryFn: ({ signal }) => call<Record<string, unknown>>(api.definition(project, kind, name), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** What waits for the person who is signed in, live. */
export function useInbox() {
  const query = useQuery({
    queryKey: keys.inbox,
    queryFn: ({ signal }) => call<Inbox>(api.inbox(), { signal }),
    ...live,
  });
  useLiveModel(topics.inbox(), keys.inbox, query.data);
  return query;
}

/** Approves the plan of a Promotion, the one whose hash is sent. */
export function useApprove(project: string, promotion: string) {
  return useMutation({
    mutationFn: (body: DecisionRequest) => call<Promotion>(api.approve(project, promotion), { method: 'POST', body }),
  });
}

/** Rejects the plan of a Promotion, which ends it. */
export function useReject(project: string, promotion: string) {
  return useMutation({
    mutationFn: (body: DecisionRequest) => call<Promotion>(api.reject(project, promotion), { method: 'POST', body }),
  });
}

/** Takes back what one has decided about a Promotion that waits. */
export function useRevoke(project: string, promotion: string) {
  return useMutation({ mutationFn: () => call<Promotion>(api.revoke(project, promotion), { method: 'POST' }) });
}

/** Stops a Promotion that is not finished. */
export function useAbort(project: string, promotion: string) {
  return useMutation({
    mutationFn: (body: { reason?: string }) => call<Promotion>(api.abort(project, promotion), { method: 'POST', body }),
  });
}

/** Where a Stage can go back to, and what that would change. */
export function rollbackOptions(project: string, stage: string, to: string | undefined) {
  return queryOptions({
    queryKey: keys.rollback(project, stage, to),
    queryFn: ({ signal }) => call<RollbackPreview>(api.rollback(project, stage, to), { signal }),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/**
 * Promotes, or tries the Promotion of that name again, if it is about the Freight that is named; resolves when the
 * server has accepted it, not when it runs.
 */
export function usePromote(project: string, stage: string, retry?: string) {
  const path = retry === undefined ? api.promote(project, stage) : api.retry(project, retry);
  return useMutation({
    mutationFn: (body: PromoteRequest) => call<Promotion>(path, { method: 'POST', body }),
  });
}

/** Rolls back; resolves when the server has accepted it. */
export function useRollback(project: string, stage: string) {
  return useMutation({
    mutationFn: (body: RollbackRequest) => call<Promotion>(api.rollback(project, stage), { method: 'POST', body }),
  });
}

/** Runs a Stage's checks again, or stops them; resolves when the server has accepted it. */
export function useVerify(project: string, stage: string) {
  return useMutation({
    mutationFn: (body: VerifyRequest) => call<Promotion>(api.verify(project, stage), { method: 'POST', body }),
  });
}

/** Lifts every hold on a Stage, or every pause of its healing. */
export function useResume(project: string, stage: string, healing = false) {
  return useMutation({ mutationFn: () => call<unknown>(api.resume(project, stage, healing), { method: 'POST' }) });
}

/** Holds the automatic flow into a Stage, or pauses its healing. */
export function useHold(project: string, stage: string) {
  return useMutation({
    mutationFn: (body: HoldRequest) => call<Freeze>(api.hold(project, stage), { method: 'POST', body }),
  });
}

/** Stops every promotion into a Stage, or into all of a project. */
export function useFreeze(project: string) {
  return useMutation({
    mutationFn: (body: FreezeRequest) => call<Freeze>(api.freezes(project), { method: 'POST', body }),
  });
}

/** Ends one freeze, hold or rejection, by its name. */
export function useThaw(project: string) {
  return useMutation({
    mutationFn: (name: string) => call<void>(api.freeze(project, name), { method: 'DELETE' }),
  });
}

/** Has an Application, or some of its objects, made equal to Git now. */
export function useSync(project: string, app: string) {
  return useMutation({
    mutationFn: (body: SyncRequest) => call<unknown>(api.sync(project, app), { method: 'POST', body }),
  });
}

/** Commits changes made in the cluster to the branch of the Stage. */
export function useAccept(project: string, app: string) {
  return useMutation({
    mutationFn: (body: AcceptRequest) => call<AcceptResult>(api.accept(project, app), { method: 'POST', body }),
  });
}

/** Asks a Warehouse to look at its registries now. */
export function useRefresh(project: string, warehouse: string) {
  return useMutation({ mutationFn: () => call<unknown>(api.refresh(project, warehouse), { method: 'POST' }) });
}

/** What one may do that is about no project. */
export function useMyPermissions() {
  return useQuery({
    queryKey: keys.myPermissions,
    queryFn: ({ signal }) => call<Permissions>(api.myPermissions(), { signal }),
    staleTime: 60_000,
    retry: false,
  });
}

/** What was decided and done in a project, newest first, a page at a time; no actions means all of them. */
export function useAudit(project: string, actions: readonly AuditAction[]) {
  return useInfiniteQuery({
    queryKey: keys.audit(project, actions),
    queryFn: ({ signal, pageParam }) => call<AuditList>(api.audit(project, actions, pageParam), { signal }),
    initialPageParam: '',
    getNextPageParam: (last) => last.nextPage || undefined,
    gcTime: 0,
  });
}

// Clusters are on no topic of the event stream: while the page is in view they are asked for.
const clustersInterval = 10_000;

/** Destination clusters, the one Waybill runs in first. */
export function useClusters() {
  return useQuery({
    queryKey: keys.clusters,
    queryFn: ({ signal }) => call<Clusters>(api.clusters(), { signal }),
    refetchInterval: clustersInterval,
  });
}

/** Has Waybill connect to a cluster now. */
export function useTestCluster(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => call<unknown>(api.testCluster(name), { method: 'POST' }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.clusters }),
  });
}

/** Replaces the kubeconfig of a cluster. */
export function useRotateCluster(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (kubeconfig: string) =>
      call<unknown>(api.rotateCluster(name), { method: 'POST', body: { kubeconfig } }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.clusters }),
  });
}

/** Forgets a cluster; with `force` although Applications deploy there. */
export function useRemoveCluster(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (force: boolean) => call<void>(api.removeCluster(name, force), { method: 'DELETE' }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.clusters }),
  });
}
