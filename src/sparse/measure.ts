/** Numbers of many layers, read back at once. */
import { concat } from '../tensor/shape.ts';
import { scope, type Tensor } from '../tensor/tensor.ts';
import type { LayerState } from './layer.ts';

type Measure = ((layer: LayerState) => Tensor) | undefined;

/** What each measure finds in each layer, one row a measure; zeros for one that is undefined. Reads back once, or not at all where none is defined. */
export async function measureLayers(layers: readonly LayerState[], measures: readonly Measure[]): Promise<number[][]> {
  const rows = measures.map(() => layers.map(() => 0));
  const wanted = measures.flatMap((measure, row) => (measure ? layers.map((layer, i) => ({ measure, layer, row, i })) : []));
  if (wanted.length === 0) return rows;
  const all = scope(layers[0].mask.device, () => concat(wanted.map(w => w.measure(w.layer).reshape([1]))));
  const values = await all.floats();
  all.dispose();
  wanted.forEach(({ row, i }, k) => {
    rows[row][i] = values[k];
  });
  return rows;
}
