/** The work of a checkpoint's network, from what the file says of its architecture. */
import { publishedStatistics } from '../data/index.ts';
import { type Device, openDevice } from '../device/index.ts';
import { FileError } from '../errors.ts';
import { setWidths } from '../nn/channels.ts';
import { layerMacs } from '../nn/macs.ts';
import { createModel } from '../nn/models/index.ts';
import { Random } from '../tensor/philox.ts';
import { assertTensors, type HostTensors, type Identity } from './checkpoint.ts';

/**
 * Multiply-adds of one image for the weight of each convolution and linear layer, by name. The network is built, so a device is
 * opened; nothing runs on it.
 * @param model the tensors of the file @param source what messages call it
 * @throws UsageError for an architecture, FileError for a data set or tensors that this program does not know; NoAdapterError
 */
export async function layerWork(model: HostTensors, identity: Identity, source: string): Promise<Map<string, number>> {
  const device = await openDevice();
  try {
    const { network, shape } = networkOf(device, model, identity, source);
    return layerMacs(device, network, shape);
  } finally {
    device.close();
  }
}

/** The network that a file's tensors fit, with new weights, and [C, H, W] of its images. @throws as `layerWork` */
export function networkOf(device: Device, model: HostTensors, identity: Identity, source: string) {
  const { arch, dataset, classes, width, depthFactor, widthFactor, widths } = identity;
  const shape = identity.shape ?? publishedStatistics(dataset)?.shape;
  if (!shape) throw new FileError(`${source}: the images of the data set '${dataset}' have no known size`);
  const unused = Array.from({ length: shape[0] }, () => 1);
  const factors = { ...(depthFactor && { depthFactor }), ...(widthFactor && { widthFactor }) };
  const options = { width, ...factors, classes, channels: shape[0], mean: unused, std: unused };
  const network = createModel(arch, { device, random: new Random(0) }, options);
  if (widths) setWidths(network, widths, source);
  assertTensors(model, new Map([...network.state()].map(([name, t]) => [name, t.shape])), source);
  return { network, shape };
}
