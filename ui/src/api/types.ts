// The names the pages use for what the API answers. schema.d.ts is generated from api/rest/openapi.yaml.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Activity = Schemas['Activity'];
export type Application = Schemas['Application'];
export type Drift = Schemas['Drift'];
export type Edge = Schemas['Edge'];
export type FileChange = Schemas['FileChange'];
export type Freeze = Schemas['Freeze'];
export type Freight = Schemas['Freight'];
export type FreightRef = Schemas['FreightRef'];
export type Gate = Schemas['GateVerdict'];
export type Image = Schemas['Image'];
export type ImageChange = Schemas['ImageChange'];
export type Me = Schemas['Me'];
export type NextAction = Schemas['NextAction'];
export type Permissions = Schemas['Permissions'];
export type Phase = Schemas['Phase'];
export type Pipeline = Schemas['Pipeline'];
export type Plan = Schemas['Plan'];
export type ProblemDocument = Schemas['Problem'];
export type Projects = Schemas['Projects'];
export type ProjectSummary = Schemas['ProjectSummary'];
export type Promotion = Schemas['Promotion'];
export type PromoteRequest = Schemas['PromoteRequest'];
export type RollbackPreview = Schemas['RollbackPreview'];
export type RollbackRequest = Schemas['RollbackRequest'];
export type RollbackTarget = Schemas['RollbackTarget'];
export type Stage = Schemas['Stage'];
export type StageCell = Schemas['StageCell'];
export type StageDetail = Schemas['StageDetail'];
export type StagePermissions = Schemas['StagePermissions'];
export type StatusWord = Schemas['StatusWord'];
export type Verdict = Schemas['Verdict'];
export type Version = Schemas['Version'];
export type Warehouse = Schemas['Warehouse'];
export type Why = Schemas['Why'];
