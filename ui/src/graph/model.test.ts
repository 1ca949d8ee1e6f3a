import { describe, expect, it } from 'vitest';
import fixture from '../../fixtures/pipeline.json';
import type { Pipeline } from '../api/types';
import { layout } from './layout';
import { graphModel, stageId, warehouseId } from './model';

const pipeline = fixture as unknown as Pipeline;

describe('graphModel', () => {
  it('has a box for each Warehouse and Stage, after what the edges say', () => {
    const { boxes } = graphModel(pipeline);
    expect(boxes.map((box) => [box.id, box.after])).toEqual([
      ['warehouse/checkout', []],
      ['stage/test', ['warehouse/checkout']],
      ['stage/staging', ['stage/test']],
      ['stage/prod-eu', ['stage/staging']],
      ['stage/prod-us', ['stage/staging']],
      ['stage/prod-apac', ['stage/staging']],
    ]);
  });

  it('keeps a Warehouse and a Stage of the same name apart', () => {
    expect(stageId('a')).not.toBe(warehouseId('a'));
  });

  it('lets the closed edge of several carry the pill', () => {
    const edge = { to: 'prod', fromKind: 'Stage', label: '' } as const;
    const stage = (name: string) => ({ ...(pipeline.stages[0] as Pipeline['stages'][number]), name });
    const { guards } = graphModel({
      warehouses: [],
      stages: [stage('a'), stage('b'), stage('prod')],
      edges: [
        { ...edge, from: 'a', open: true, label: 'auto' },
        { ...edge, from: 'b', open: false, label: 'soak until 14:30Z' },
      ],
    });
    expect(guards.get('stage/prod')).toMatchObject({ edge: { label: 'soak until 14:30Z' }, others: 1 });
  });

  it('leaves out edges to what is not there', () => {
    const { boxes } = graphModel({ ...pipeline, stages: pipeline.stages.slice(0, 2) });
    expect(boxes).toHaveLength(3);
  });

  it('draws every edge of the fixture', () => {
    const { boxes } = graphModel(pipeline);
    expect(layout(boxes, { column: 150, row: 16 }).edges).toHaveLength(pipeline.edges.length);
  });
});
