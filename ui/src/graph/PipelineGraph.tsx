import '@xyflow/react/dist/base.css';
import { UnstyledButton } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { IconArrowsMaximize, IconMinus, IconPlus } from '@tabler/icons-react';
import { type Node, type NodeProps, ReactFlow, ReactFlowProvider, useReactFlow, ViewportPortal } from '@xyflow/react';
import { memo, useCallback, useEffect, useMemo, useRef } from 'react';
import type { Edge, Pipeline, Stage, Verdict, Warehouse } from '../api/types';
import { GatePill } from '../components/GatePill';
import { useDialog } from '../lib/search';
import { StageCard } from '../pages/pipeline/StageCard';
import { WarehouseCard } from '../pages/pipeline/WarehouseCard';
import { type Layout, layout, type Point, path } from './layout';
import { type GraphModel, graphModel } from './model';
import classes from './PipelineGraph.module.css';

export interface PipelineGraphProps {
  pipeline: Pipeline;
  /** The verdict about the selected Freight by Stage; undefined while none is selected. */
  verdicts: Map<string, Verdict> | undefined;
}

type StageNode = Node<{ stage: Stage; verdict: Verdict | null | undefined }, 'stage'>;
type WarehouseNode = Node<{ warehouse: Warehouse }, 'warehouse'>;
type PillNode = Node<{ edge: Edge; others: number }, 'pill'>;

const margin = 24;
const rowGap = 16;
const leastGap = 100;
const mostGap = 230;
const mostShare = 130; // a wide page spreads the columns, but not without end
const letterWidth = 6.3; // of the pill's font, on average
const pillPadding = 42; // icon, gaps and the pill's own padding
const pillMargin = 40; // for the turn on the left and the arrow on the right
const arrowRoom = 14;
const pillHeight = 26;
const smallestZoom = 0.55;

/** The pipeline as a graph from left to right. The list beside it says the same without a mouse. */
export function PipelineGraph(props: PipelineGraphProps) {
  return (
    <ReactFlowProvider>
      <Graph {...props} />
    </ReactFlowProvider>
  );
}

// xyflow lets the pointer through nodes that cannot be dragged; ours hold links and buttons
const cardStyle = { pointerEvents: 'all' } as const;

// an event replaces the model but keeps the parts that did not change, so that only changed cards are drawn again
const nodeTypes = {
  stage: memo(
    StageNodeView,
    (a, b) => a.data.stage === b.data.stage && a.data.verdict === b.data.verdict && isSamePlace(a, b),
  ),
  warehouse: memo(WarehouseNodeView, (a, b) => a.data.warehouse === b.data.warehouse && isSamePlace(a, b)),
  pill: memo(PillNodeView, (a, b) => a.data.edge === b.data.edge && a.data.others === b.data.others),
};

/** A node of known size without handles: xyflow need not draw it off the screen to measure it. */
function fixed(id: string, position: Point, width: number, height: number) {
  return { id, position, width, height, measured: { width, height }, handles: [], focusable: false, style: cardStyle };
}

function isSamePlace(a: NodeProps, b: NodeProps): boolean {
  return a.positionAbsoluteX === b.positionAbsoluteX && a.positionAbsoluteY === b.positionAbsoluteY;
}

function Graph({ pipeline, verdicts }: PipelineGraphProps) {
  const { ref, width, height } = useElementSize();
  const flow = useReactFlow();
  const { stages, warehouses, edges: pipelineEdges } = pipeline;

  const { nodes, edges, size } = useMemo(() => {
    const model = graphModel({ stages, warehouses, edges: pipelineEdges });
    const tight = layout(model.boxes, { column: 0, row: rowGap });
    const gaps = columnGaps(tight, model.guards, width);
    const placed = layout(model.boxes, { column: gaps, row: rowGap });
    const nodes: (StageNode | WarehouseNode | PillNode)[] = model.boxes.map((box) => {
      const shared = fixed(box.id, placed.boxes.get(box.id) ?? { x: 0, y: 0 }, box.width, box.height);
      const stage = model.stages.get(box.id);
      if (stage) {
        const verdict = verdicts && (verdicts.get(stage.name) ?? null);
        return { ...shared, type: 'stage', data: { stage, verdict } };
      }
      return { ...shared, type: 'warehouse', data: { warehouse: model.warehouses.get(box.id) as Warehouse } };
    });
    const edges: DrawnEdge[] = [];
    for (const { id, to, points } of placed.edges) {
      const edge = model.edges.get(id);
      const end = points.at(-1);
      if (!edge || !end) continue;
      edges.push({ id, points, isOpen: edge.open });
      const guard = model.guards.get(to);
      if (guard?.edge !== edge) continue;
      const room = (gaps[(placed.ranks.get(to) ?? 1) - 1] ?? leastGap) - pillMargin;
      const place = { x: end.x - arrowRoom - room, y: end.y - pillHeight / 2 };
      nodes.push({
        ...fixed(`pill/${id}`, place, room, pillHeight),
        type: 'pill',
        data: { edge, others: guard.others },
      });
    }
    return { nodes, edges, size: { width: placed.width, height: placed.height } };
  }, [stages, warehouses, pipelineEdges, verdicts, width]);

  const showAll = useCallback(
    (duration: number) => {
      if (width === 0 || height === 0) return;
      const wanted = Math.min(1, (width - 2 * margin) / size.width, (height - 2 * margin) / size.height);
      const zoom = Math.max(smallestZoom, wanted);
      // what does not fit starts at the left edge, where the Warehouse is
      const x = size.width * zoom > width - 2 * margin ? margin : (width - size.width * zoom) / 2;
      const y = size.height * zoom > height - 2 * margin ? margin : (height - size.height * zoom) / 2;
      flow.setViewport({ x, y, zoom }, { duration });
    },
    [flow, size.width, size.height, width, height],
  );
  useEffect(() => showAll(0), [showAll]);

  return (
    <section className={classes.graph} ref={ref} aria-label="Pipeline graph">
      {width > 0 && (
        <ReactFlow
          nodes={nodes}
          nodeTypes={nodeTypes}
          onInit={() => showAll(0)}
          minZoom={0.2}
          maxZoom={1.6}
          nodesDraggable={false}
          nodesConnectable={false}
          nodesFocusable={false}
          elementsSelectable={false}
          onlyRenderVisibleElements={nodes.length > 120}
          zoomOnScroll={false}
          panOnScroll
          preventScrolling={false}
          proOptions={{ hideAttribution: true }}
        >
          <Edges edges={edges} />
        </ReactFlow>
      )}
      <div className={classes.controls}>
        <UnstyledButton className={classes.control} aria-label="Zoom in" onClick={() => flow.zoomIn({ duration: 150 })}>
          <IconPlus size={16} aria-hidden="true" />
        </UnstyledButton>
        <UnstyledButton
          className={classes.control}
          aria-label="Zoom out"
          onClick={() => flow.zoomOut({ duration: 150 })}
        >
          <IconMinus size={16} aria-hidden="true" />
        </UnstyledButton>
        <UnstyledButton className={classes.control} aria-label="Show all" onClick={() => showAll(200)}>
          <IconArrowsMaximize size={15} aria-hidden="true" />
        </UnstyledButton>
      </div>
    </section>
  );
}

/**
 * The gaps between columns: each has room for the longest pill in it, and what is left of the page's width is
 * shared out.
 */
function columnGaps(tight: Layout, guards: GraphModel['guards'], room: number): number[] {
  const gaps = Array.from({ length: Math.max(0, tight.columns - 1) }, () => leastGap);
  for (const [id, { edge }] of guards) {
    const before = (tight.ranks.get(id) ?? 1) - 1;
    const wanted = Math.min(mostGap, edge.label.length * letterWidth + pillPadding + pillMargin);
    gaps[before] = Math.max(gaps[before] ?? leastGap, Math.round(wanted));
  }
  const rest = room - 2 * margin - tight.width - gaps.reduce((sum, gap) => sum + gap, 0);
  const share = Math.floor(rest / Math.max(1, gaps.length));
  return share > 0 ? gaps.map((gap) => gap + Math.min(share, mostShare)) : gaps;
}

interface DrawnEdge {
  id: string;
  points: Point[];
  isOpen: boolean;
}

/** The lines between the cards, drawn by hand: the layout has worked out where they run. */
const Edges = memo(function Edges({ edges }: { edges: DrawnEdge[] }) {
  return (
    <ViewportPortal>
      <svg className={classes.lines} aria-hidden="true">
        <defs>
          <marker
            id="gate-arrow"
            markerWidth="9"
            markerHeight="9"
            refX="8"
            refY="4.5"
            orient="auto"
            markerUnits="userSpaceOnUse"
          >
            <path d="M0 0L9 4.5L0 9z" className={classes.arrow} />
          </marker>
        </defs>
        {edges.map(({ id, points, isOpen }) => (
          <path
            key={id}
            d={path(points, 10)}
            className={isOpen ? classes.edge : `${classes.edge} ${classes.closed}`}
            markerEnd="url(#gate-arrow)"
          />
        ))}
      </svg>
    </ViewportPortal>
  );
});

function PillNodeView({ data: { edge, others } }: NodeProps<PillNode>) {
  const dialog = useDialog();
  const freight = edge.freight;
  return (
    <div className={classes.pill}>
      <GatePill
        edge={edge}
        others={others}
        onWhy={freight === undefined ? undefined : () => dialog({ why: edge.to, with: freight })}
      />
    </div>
  );
}

function StageNodeView({ data, positionAbsoluteX: x, positionAbsoluteY: y, width, height }: NodeProps<StageNode>) {
  const box = useBringIntoView(x, y, width, height);
  return (
    <div style={{ height: '100%' }} {...box}>
      <StageCard stage={data.stage} verdict={data.verdict} />
    </div>
  );
}

function WarehouseNodeView({
  data,
  positionAbsoluteX: x,
  positionAbsoluteY: y,
  width,
  height,
}: NodeProps<WarehouseNode>) {
  const box = useBringIntoView(x, y, width, height);
  return (
    <div style={{ height: '100%' }} {...box}>
      <WarehouseCard warehouse={data.warehouse} />
    </div>
  );
}

/** Keyboard focus may land on a card outside the picture: then the picture moves. */
function useBringIntoView(x: number, y: number, width = 0, height = 0) {
  const flow = useReactFlow();
  const ref = useRef<HTMLDivElement>(null);
  const onFocusCapture = () => {
    const card = ref.current?.getBoundingClientRect();
    const frame = ref.current?.closest('.react-flow')?.getBoundingClientRect();
    if (!card || !frame) return;
    const inside =
      card.left >= frame.left && card.right <= frame.right && card.top >= frame.top && card.bottom <= frame.bottom;
    if (!inside) flow.setCenter(x + width / 2, y + height / 2, { zoom: flow.getZoom(), duration: 150 });
  };
  return { ref, onFocusCapture };
}
