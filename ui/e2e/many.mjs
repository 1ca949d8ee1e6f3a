/** The pipeline model with `count` Stages in columns of 60, each after the one to its left. */
export function manyStages(model, count) {
  const [sample] = model.stages;
  const stages = Array.from({ length: count }, (_, i) => ({ ...sample, name: `s${i}`, rank: 1 + Math.floor(i / 60) }));
  const edges = stages.map(({ name }, i) =>
    i < 60
      ? { from: model.warehouses[0].name, fromKind: 'Warehouse', to: name, open: true, label: 'auto' }
      : { from: `s${i - 60}`, fromKind: 'Stage', to: name, open: true, label: 'auto' },
  );
  return { ...model, stages, edges };
}
