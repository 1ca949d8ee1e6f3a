/** A box to place. `after` names the boxes it comes after; unknown names and cycles are tolerated. */
export interface Box {
  id: string;
  width: number;
  height: number;
  after: string[];
}

export interface Point {
  x: number;
  y: number;
}

export interface PlacedEdge {
  id: string;
  from: string;
  to: string;
  /** Corner points from the right edge of `from` to the left edge of `to`, horizontal and vertical runs only. */
  points: Point[];
}

export interface Layout {
  /** Top left corner of each box. */
  boxes: Map<string, Point>;
  /** Column of each box, from 0. */
  ranks: Map<string, number>;
  edges: PlacedEdge[];
  columns: number;
  width: number;
  height: number;
}

export interface Spacing {
  /** Between columns; the gate pills sit in it. A list gives the gap before the second column, the third, ... */
  column: number | number[];
  /** Between boxes of one column. */
  row: number;
}

interface Item {
  id: string;
  /** Undefined for the bends of an edge that passes other columns. */
  box: Box | undefined;
  height: number;
  rank: number;
  before: Item[];
  after: Item[];
  y: number;
}

const bendHeight = 20;
const turn = 20; // from a box's right edge to where its edges turn
const sweeps = 4;

/**
 * Places boxes in columns from left to right: a box stands one column after the last of those it comes after.
 * Within a column the declared order is kept unless crossing edges ask for another one (barycentre sweeps),
 * and each box is as near to the middle of its neighbours as its column allows. Deterministic; 600 boxes
 * take a few milliseconds.
 */
export function layout(boxes: Box[], spacing: Spacing): Layout {
  const ranks = rank(boxes);
  const items = new Map<string, Item>();
  for (const box of boxes) {
    items.set(box.id, {
      id: box.id,
      box,
      height: box.height,
      rank: ranks.get(box.id) ?? 0,
      before: [],
      after: [],
      y: 0,
    });
  }

  const columns: Item[][] = [];
  for (const item of items.values()) column(columns, item.rank).push(item);

  const routes = new Map<string, { from: Item; to: Item; chain: Item[] }>();
  for (const box of boxes) {
    const to = items.get(box.id);
    for (const name of new Set(box.after)) {
      const from = items.get(name);
      if (!from || !to || from.rank >= to.rank) continue; // unknown, or the edge that closes a cycle
      const chain: Item[] = [from];
      for (let r = from.rank + 1; r < to.rank; r++) {
        const bend: Item = {
          id: `${name}>${box.id}#${r}`,
          box: undefined,
          height: bendHeight,
          rank: r,
          before: [],
          after: [],
          y: 0,
        };
        column(columns, r).push(bend);
        chain.push(bend);
      }
      chain.push(to);
      for (let i = 1; i < chain.length; i++) {
        const [left, right] = [chain[i - 1] as Item, chain[i] as Item];
        left.after.push(right);
        right.before.push(left);
      }
      routes.set(`${name}>${box.id}`, { from, to, chain });
    }
  }

  order(columns);
  place(columns, spacing.row);

  const lefts: number[] = [];
  let x = 0;
  const widths = columns.map((items) => Math.max(0, ...items.map((item) => item.box?.width ?? 0)));
  for (const [i, width] of widths.entries()) {
    if (i > 0) x += typeof spacing.column === 'number' ? spacing.column : (spacing.column[i - 1] ?? 0);
    lefts.push(x);
    x += width;
  }

  const all = columns.flat();
  const top = Math.min(...all.map((item) => item.y - item.height / 2));
  const bottom = Math.max(...all.map((item) => item.y + item.height / 2));
  const placed = new Map<string, Point>();
  for (const item of all) {
    if (item.box) placed.set(item.id, { x: lefts[item.rank] ?? 0, y: item.y - item.height / 2 - top });
  }

  const edges: PlacedEdge[] = [];
  for (const [id, { from, to, chain }] of routes) {
    const points: Point[] = [{ x: (lefts[from.rank] ?? 0) + (from.box?.width ?? 0), y: from.y - top }];
    for (let i = 1; i < chain.length; i++) {
      const [left, right] = [chain[i - 1] as Item, chain[i] as Item];
      const bend = (lefts[left.rank] ?? 0) + (widths[left.rank] ?? 0) + turn;
      points.push({ x: bend, y: left.y - top }, { x: bend, y: right.y - top });
    }
    points.push({ x: lefts[to.rank] ?? 0, y: to.y - top });
    edges.push({ id, from: from.id, to: to.id, points: corners(points) });
  }
  return {
    boxes: placed,
    ranks,
    edges,
    columns: columns.length,
    width: x,
    height: all.length > 0 ? bottom - top : 0,
  };
}

/** Longest path from the start, per box. A box met again on its own path closes a cycle and counts as 0 there. */
function rank(boxes: Box[]): Map<string, number> {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const done = new Map<string, number>();
  const open = new Set<string>();
  const visit = (id: string): number => {
    const known = done.get(id);
    if (known !== undefined) return known;
    const box = byId.get(id);
    if (!box || open.has(id)) return -1;
    open.add(id);
    let longest = -1;
    for (const name of box.after) longest = Math.max(longest, visit(name));
    open.delete(id);
    done.set(id, longest + 1);
    return longest + 1;
  };
  for (const box of boxes) visit(box.id);
  return done;
}

function column(columns: Item[][], index: number): Item[] {
  for (let i = columns.length; i <= index; i++) columns.push([]);
  return columns[index] as Item[];
}

/** Sorts each column by the mean position of the neighbours on the left, then on the right, stable. */
function order(columns: Item[][]): void {
  const position = new Map<Item, number>();
  const number = (items: Item[]) => {
    for (const [i, item] of items.entries()) position.set(item, i - (items.length - 1) / 2);
  };
  columns.forEach(number);
  const sort = (items: Item[], neighbours: (item: Item) => Item[]) => {
    const key = new Map(
      items.map((item) => {
        const near = neighbours(item);
        const own = position.get(item) ?? 0;
        return [item, near.length === 0 ? own : near.reduce((sum, n) => sum + (position.get(n) ?? 0), 0) / near.length];
      }),
    );
    items.sort((a, b) => (key.get(a) ?? 0) - (key.get(b) ?? 0));
    number(items);
  };
  for (let i = 0; i < sweeps; i++) {
    for (const items of columns) sort(items, (item) => item.before);
    for (const items of [...columns].reverse()) sort(items, (item) => item.after);
  }
  for (const items of columns) sort(items, (item) => item.before);
}

/** Gives each item its middle: as near to its neighbours' as the order and the gaps allow. */
function place(columns: Item[][], gap: number): void {
  for (const items of columns)
    settle(
      items,
      items.map(() => 0),
      gap,
    );
  const mean = (near: Item[], own: number) =>
    near.length === 0 ? own : near.reduce((sum, item) => sum + item.y, 0) / near.length;
  for (let i = 0; i < sweeps; i++) {
    for (const items of [...columns].reverse())
      settle(
        items,
        items.map((item) => mean(item.after, item.y)),
        gap,
      );
    for (const items of columns)
      settle(
        items,
        items.map((item) => mean(item.before, item.y)),
        gap,
      );
  }
}

/**
 * Least squares under a minimum distance (pool adjacent violators): moves each item to its wish, and those
 * that would overlap together to the mean of their wishes.
 */
function settle(items: Item[], wishes: number[], gap: number): void {
  const offsets: number[] = [];
  let offset = 0;
  for (const [i, item] of items.entries()) {
    if (i > 0) offset += ((items[i - 1]?.height ?? 0) + item.height) / 2 + gap;
    offsets.push(offset);
  }
  const pools: { sum: number; count: number }[] = [];
  for (const [i, wish] of wishes.entries()) {
    let pool = { sum: wish - (offsets[i] ?? 0), count: 1 };
    for (let last = pools.at(-1); last && last.sum / last.count > pool.sum / pool.count; last = pools.at(-1)) {
      pools.pop();
      pool = { sum: pool.sum + last.sum, count: pool.count + last.count };
    }
    pools.push(pool);
  }
  let i = 0;
  for (const { sum, count } of pools) {
    for (let n = 0; n < count; n++, i++) {
      const item = items[i];
      if (item) item.y = Math.round(sum / count + (offsets[i] ?? 0));
    }
  }
}

/** Drops points that do not turn. */
function corners(points: Point[]): Point[] {
  return points.filter((point, i) => {
    const [before, next] = [points[i - 1], points[i + 1]];
    if (!before || !next) return true;
    return !((before.x === point.x && point.x === next.x) || (before.y === point.y && point.y === next.y));
  });
}

/** An SVG path along `points` with corners rounded by `radius`. */
export function path(points: Point[], radius: number): string {
  const parts: string[] = [];
  for (const [i, point] of points.entries()) {
    const [before, next] = [points[i - 1], points[i + 1]];
    if (!before) {
      parts.push(`M${point.x} ${point.y}`);
    } else if (!next) {
      parts.push(`L${point.x} ${point.y}`);
    } else {
      const enter = toward(point, before, radius);
      const leave = toward(point, next, radius);
      parts.push(`L${enter.x} ${enter.y}Q${point.x} ${point.y} ${leave.x} ${leave.y}`);
    }
  }
  return parts.join('');
}

/** The point `distance` away from `from` towards `to`, at most half way. */
function toward(from: Point, to: Point, distance: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const share = length === 0 ? 0 : Math.min(distance, length / 2) / length;
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}
