import type { Edge, Pipeline, Stage, Warehouse } from '../api/types';
import type { Box } from './layout';

export const stageSize = { width: 232, height: 156 };
export const warehouseWidth = 204;

/** How many subscriptions a Warehouse's card names before it counts the rest. */
export const shownSubscriptions = 4;

/** What the graph draws: boxes to lay out, what is in them, and the edge whose pill guards each Stage. */
export interface GraphModel {
  boxes: Box[];
  warehouses: Map<string, Warehouse>;
  stages: Map<string, Stage>;
  /** By `from>to` of box ids. */
  edges: Map<string, Edge>;
  /** By box id of a Stage: the edge that carries the pill, and how many others lead there. */
  guards: Map<string, { edge: Edge; others: number }>;
}

/** The id of a Stage's box. */
export function stageId(name: string): string {
  return `stage/${name}`;
}

/** The id of a Warehouse's box. Warehouses and Stages may share a name. */
export function warehouseId(name: string): string {
  return `warehouse/${name}`;
}

/** Turns the server's pipeline into boxes and edges. The order of the answer is the order on the page. */
export function graphModel(pipeline: Pick<Pipeline, 'warehouses' | 'stages' | 'edges'>): GraphModel {
  const model: GraphModel = {
    boxes: [],
    warehouses: new Map(),
    stages: new Map(),
    edges: new Map(),
    guards: new Map(),
  };
  const boxes = new Map<string, Box>();
  for (const warehouse of pipeline.warehouses) {
    const id = warehouseId(warehouse.name);
    model.warehouses.set(id, warehouse);
    boxes.set(id, { id, width: warehouseWidth, height: warehouseHeight(warehouse), after: [] });
  }
  for (const stage of pipeline.stages) {
    const id = stageId(stage.name);
    model.stages.set(id, stage);
    boxes.set(id, { id, ...stageSize, after: [] });
  }
  for (const edge of pipeline.edges) {
    const from = edge.fromKind === 'Warehouse' ? warehouseId(edge.from) : stageId(edge.from);
    const to = stageId(edge.to);
    const target = boxes.get(to);
    if (!target || !boxes.has(from)) continue;
    target.after.push(from);
    model.edges.set(`${from}>${to}`, edge);
    const guard = model.guards.get(to);
    if (!guard) model.guards.set(to, { edge, others: 0 });
    else model.guards.set(to, { edge: guard.edge.open && !edge.open ? edge : guard.edge, others: guard.others + 1 });
  }
  model.boxes = [...boxes.values()];
  return model;
}

/** Height of a Warehouse's card: its head, one line per subscription, its foot. */
export function warehouseHeight(warehouse: Pick<Warehouse, 'subscriptions'>): number {
  const count = warehouse.subscriptions.length;
  return 42 + Math.min(count, shownSubscriptions) * 22 + (count > shownSubscriptions ? 22 : 0) + 50;
}
