import { describe, expect, it } from 'vitest';
import { type Box, layout, path } from './layout';

const spacing = { column: 100, row: 10 };

function box(id: string, ...after: string[]): Box {
  return { id, width: 200, height: 100, after };
}

function at(boxes: Box[], id: string) {
  const point = layout(boxes, spacing).boxes.get(id);
  if (!point) throw new Error(`${id} was not placed`);
  return point;
}

describe('layout', () => {
  it('puts a chain on one line, a column each', () => {
    const chain = [box('warehouse'), box('test', 'warehouse'), box('uat', 'test'), box('prod', 'uat')];
    const { boxes, columns, width, height } = layout(chain, spacing);
    expect([...boxes.values()]).toEqual([
      { x: 0, y: 0 },
      { x: 300, y: 0 },
      { x: 600, y: 0 },
      { x: 900, y: 0 },
    ]);
    expect({ columns, width, height }).toEqual({ columns: 4, width: 1100, height: 100 });
  });

  it('takes a gap of its own before each column', () => {
    const chain = [box('w'), box('a', 'w'), box('b', 'a')];
    const { boxes, ranks, width } = layout(chain, { column: [10, 30], row: 0 });
    expect([...boxes.values()].map(({ x }) => x)).toEqual([0, 210, 440]);
    expect([...ranks.values()]).toEqual([0, 1, 2]);
    expect(width).toBe(640);
  });

  it('stacks a fan in declared order, centred on its source', () => {
    const fan = [box('uat'), box('prod-eu', 'uat'), box('prod-us', 'uat'), box('prod-apac', 'uat')];
    expect(at(fan, 'prod-eu')).toEqual({ x: 300, y: 0 });
    expect(at(fan, 'prod-us')).toEqual({ x: 300, y: 110 });
    expect(at(fan, 'prod-apac')).toEqual({ x: 300, y: 220 });
    expect(at(fan, 'uat')).toEqual({ x: 0, y: 110 });
  });

  it('stands after the last of several upstreams, between them', () => {
    const diamond = [box('w'), box('a', 'w'), box('b', 'w'), box('join', 'a', 'b')];
    expect(at(diamond, 'join')).toEqual({ x: 600, y: 55 });
  });

  it('uncrosses edges when the declared order would cross them', () => {
    const boxes = [box('w1'), box('w2'), box('second', 'w2'), box('first', 'w1')];
    expect(at(boxes, 'first').y).toBeLessThan(at(boxes, 'second').y);
  });

  it('leads an edge that skips a column around the boxes in it', () => {
    const boxes = [box('w'), box('test', 'w'), box('prod', 'test', 'w')];
    const { boxes: placed, edges } = layout(boxes, spacing);
    const test = placed.get('test') ?? { x: 0, y: 0 };
    const long = edges.find((edge) => edge.id === 'w>prod');
    const through = long?.points.filter(
      (p) => p.x > test.x && p.x < test.x + 200 && p.y > test.y && p.y < test.y + 100,
    );
    expect(through).toEqual([]);
    for (const [i, p] of (long?.points ?? []).entries()) {
      const next = long?.points[i + 1];
      if (!next || p.y !== next.y) continue;
      const crossesColumn = p.x < test.x && next.x > test.x + 200;
      if (crossesColumn) expect(p.y <= test.y || p.y >= test.y + 100).toBe(true);
    }
  });

  it('runs edges horizontally and vertically only, from right edge to left edge', () => {
    const boxes = [box('w'), box('a', 'w'), box('b', 'w')];
    for (const { points } of layout(boxes, spacing).edges) {
      expect(points[0]?.x).toBe(200);
      expect(points.at(-1)?.x).toBe(300);
      for (const [i, p] of points.entries()) {
        const next = points[i + 1];
        if (next) expect(p.x === next.x || p.y === next.y).toBe(true);
      }
    }
  });

  it('never overlaps boxes, whatever the graph', () => {
    let seed = 7;
    const random = () => {
      seed = (seed * 48271) % 2147483647;
      return seed / 2147483647;
    };
    for (let round = 0; round < 60; round++) {
      const boxes: Box[] = [];
      for (let i = 0; i < 30; i++) {
        const after = boxes.filter(() => random() < 0.12).map((b) => b.id);
        boxes.push({ id: `s${i}`, width: 200, height: 60 + Math.floor(random() * 80), after });
      }
      const { boxes: placed } = layout(boxes, spacing);
      expect(placed.size).toBe(30);
      for (const a of boxes) {
        for (const b of boxes) {
          if (a.id >= b.id) continue;
          const [pa, pb] = [placed.get(a.id), placed.get(b.id)];
          if (!pa || !pb || pa.x !== pb.x) continue;
          // middles are whole pixels, so a gap may be up to one pixel short
          expect(pa.y + a.height <= pb.y + 1 || pb.y + b.height <= pa.y + 1).toBe(true);
        }
      }
    }
  });

  it('survives a cycle, a box after itself and an unknown name', () => {
    const boxes = [box('a', 'b'), box('b', 'a'), box('self', 'self'), box('lost', 'nowhere')];
    expect(layout(boxes, spacing).boxes.size).toBe(4);
  });

  it('draws nothing for nothing', () => {
    expect(layout([], spacing)).toEqual({
      boxes: new Map(),
      ranks: new Map(),
      edges: [],
      columns: 0,
      width: 0,
      height: 0,
    });
  });

  it('places 600 stages well within one frame budget of a page load', () => {
    const boxes: Box[] = [box('w')];
    for (let i = 0; i < 600; i++) {
      const column = Math.floor(i / 60);
      boxes.push(box(`s${i}`, column === 0 ? 'w' : `s${i - 60}`, ...(column > 0 && i % 3 === 0 ? [`s${i - 59}`] : [])));
    }
    const start = performance.now();
    expect(layout(boxes, spacing).boxes.size).toBe(601);
    expect(performance.now() - start).toBeLessThan(400); // measured 20 ms; the machine may be busy
  });
});

describe('path', () => {
  it('rounds corners, at most half a run', () => {
    const points = [
      { x: 0, y: 0 },
      { x: 20, y: 0 },
      { x: 20, y: 6 },
      { x: 40, y: 6 },
    ];
    expect(path(points, 8)).toBe('M0 0L12 0Q20 0 20 3L20 3Q20 6 28 6L40 6');
  });
});
