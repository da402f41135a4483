/**
 * A network as an ONNX graph: the operations that its forward pass in eval mode records, one node each. So every architecture can be exported, as it is built. Constants
 * have the names of the state_dict; a bias, which is an addition here, joins its convolution or linear layer.
 */
import { enableGrad, history, track } from '../autograd/tape.ts';
import type { OnnxAttributes, OnnxGraph, OnnxNode } from '../data/onnx.ts';
import type { Device } from '../device/index.ts';
import { SparrowError } from '../errors.ts';
import { BatchNorm2d, ChannelNorm, Conv2d, Linear } from '../nn/layers.ts';
import { type Module, Parameter } from '../nn/module.ts';
import type { PoolOptions } from '../tensor/pool.ts';
import { capture, empty, type Tensor } from '../tensor/tensor.ts';
import { type HostTensors, type Normalisation, normalisationNames } from './checkpoint.ts';

type Operation = NonNullable<ReturnType<typeof history>> & { readonly output: Tensor };

/**
 * The graph from `images` [N, C, H, W] in [0, 1] to `logits` [N, K], N free.
 * @param shape [C, H, W] of an image @param state the network's state by state_dict name @param normalisation of the network
 * @throws SparrowError for an operation that has no counterpart here
 */
export function onnxGraph(
  device: Device,
  network: Module,
  shape: readonly number[],
  state: HostTensors,
  normalisation: Normalisation,
): Omit<OnnxGraph, 'name' | 'metadata'> {
  network.eval();
  let graph: Omit<OnnxGraph, 'name' | 'metadata'> | undefined;
  // recorded, not run
  capture(device, () => {
    const images = track(empty(device, [1, ...shape]));
    const logits = enableGrad(() => network.forward(images));
    graph = new GraphBuilder(network, images, state, normalisation).build(logits);
  }).dispose();
  return graph!;
}

class GraphBuilder {
  /** What values are called. */
  private readonly names = new Map<Tensor, string>();
  /** The layer and its name by its weight. */
  private readonly layers = new Map<Tensor, { name: string; layer: Module }>();
  private readonly nodes: { -readonly [K in keyof OnnxNode]: OnnxNode[K] }[] = [];
  private readonly constants = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  private readonly channelNorm: string | undefined;

  constructor(
    network: Module,
    private readonly images: Tensor,
    private readonly state: HostTensors,
    private readonly normalisation: Normalisation,
  ) {
    this.names.set(images, 'images');
    for (const [name, t] of network.state()) if (!this.names.has(t)) this.names.set(t, name); // the first, as modules() has it
    for (const [name, layer] of network.modules()) {
      if (layer instanceof Conv2d || layer instanceof BatchNorm2d || layer instanceof Linear)
        this.layers.set(layer.weight, { name, layer });
      if (layer instanceof ChannelNorm) this.channelNorm = name;
    }
  }

  build(logits: Tensor): Omit<OnnxGraph, 'name' | 'metadata'> {
    for (const operation of operationsOf(logits)) this.add(operation);
    this.nodes.find(node => node.output === this.names.get(logits))!.output = 'logits';
    return {
      input: { name: 'images', shape: ['N', ...this.images.shape.slice(1)] },
      output: { name: 'logits', shape: ['N', ...logits.shape.slice(1)] },
      nodes: this.nodes,
      constants: this.constants,
    };
  }

  private add(operation: Operation): void {
    const { op, inputs, output, attributes } = operation;
    const x = this.names.get(inputs[0])!;
    const found = this.layers.get(inputs[1]);
    const layer = found?.layer;
    const name = found?.name ?? `${op}.${this.nodes.length}`;
    if (op === 'channelNorm') this.normalise(x, output);
    else if (op === 'conv2d' && layer instanceof Conv2d)
      this.emit('Conv', name, [x, this.constant(inputs[1])], output, convAttributes(layer));
    else if (op === 'matmul' && layer instanceof Linear)
      this.emit('Gemm', name, [x, this.constant(inputs[1])], output, { transB: 1 });
    else if (op === 'batchNorm' && layer instanceof BatchNorm2d) {
      const constants = [layer.weight, layer.bias, layer.running_mean, layer.running_var].map(t => this.constant(t));
      this.emit('BatchNormalization', name, [x, ...constants], output, { epsilon: Float32Array.of(layer.eps) });
      if (attributes.relu) this.emit('Relu', `${name}.relu`, [this.names.get(output)!], output);
    } else if (op === 'reshape' && inputs[0] instanceof Parameter)
      this.names.set(output, x); // a bias, shaped for the addition
    else if (op === 'reshape' && output.rank === 2) this.emit('Flatten', name, [x], output, { axis: 1 });
    else if (op === 'add' && this.joinsBias(inputs)) this.names.set(output, x);
    else if (op === 'add') this.emit('Add', name, [x, this.names.get(inputs[1])!], output);
    else if (op === 'relu') this.emit('Relu', name, [x], output);
    else if (op === 'maxPool2d') this.emit('MaxPool', name, [x], output, poolAttributes(attributes as unknown as PoolOptions));
    else if (op === 'adaptiveAvgPool2d' && output.shape[2] * output.shape[3] === 1)
      this.emit('GlobalAveragePool', name, [x], output);
    else throw new SparrowError(`the network cannot be exported: its operation ${op} has no counterpart in ONNX here`);
  }

  private emit(op: string, name: string, inputs: string[], output: Tensor, attributes: OnnxAttributes = {}): void {
    this.names.set(output, name);
    this.nodes.push({ op, name, inputs, output: name, attributes });
  }

  /** (x - mean)/std, [1, C, 1, 1] each. */
  private normalise(x: string, output: Tensor): void {
    for (const key of ['mean', 'std'] as const) {
      const values = this.normalisation[key];
      this.constants.set(normalisationNames[key], { shape: [1, values.length, 1, 1], data: Float32Array.from(values) });
    }
    this.emit('Sub', `${this.channelNorm}.sub`, [x, normalisationNames.mean], output);
    this.emit('Div', `${this.channelNorm}.div`, [this.names.get(output)!, normalisationNames.std], output);
  }

  /** Whether an addition is that of a layer's bias to its result; then the layer's node takes it. */
  private joinsBias([a, b]: readonly Tensor[]): boolean {
    const bias = this.names.get(b)!;
    const node = this.nodes.find(n => n.output === this.names.get(a));
    if (node?.inputs.length !== 2 || bias !== `${node.name}.bias`) return false;
    node.inputs = [...node.inputs, bias];
    this.constants.set(bias, this.state.get(bias)!);
    return true;
  }

  /** The name of a tensor of the state, which becomes a constant. */
  private constant(t: Tensor): string {
    const name = this.names.get(t)!;
    this.constants.set(name, this.state.get(name)!);
    return name;
  }
}

/** What was recorded on the way to a tensor, in the order in which it was. */
function operationsOf(result: Tensor): Operation[] {
  const found = new Map<Tensor, Operation>();
  const open = [result];
  for (let output = open.pop(); output; output = open.pop()) {
    const made = history(output);
    if (!made || found.has(output)) continue;
    found.set(output, { ...made, output });
    open.push(...made.inputs);
  }
  return [...found.values()].sort((a, b) => a.id - b.id);
}

function convAttributes({ weight, options }: Conv2d): OnnxAttributes {
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  return {
    kernel_shape: weight.shape.slice(2),
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
    dilations: [dilation, dilation],
    group: groups,
  };
}

function poolAttributes({ kernel, stride = kernel, padding = 0 }: PoolOptions): OnnxAttributes {
  return { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [padding, padding, padding, padding] };
}
