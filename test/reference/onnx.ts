/**
 * ONNX files, decoded field by field and run in float64: the few operations that exported networks consist of, by their definitions in the ONNX operator set. Anything
 * else in a file is an error.
 */
import { type Ref, ref } from './array.ts';
import { conv2d } from './conv.ts';
import { add, div, relu, sub } from './elementwise.ts';
import { matmul } from './linalg.ts';
import { batchNormEval } from './norm.ts';
import { adaptiveAvgPool2d, maxPool2d } from './pool.ts';

/** The fields of a message by number, in order: numbers (varints), 32-bit floats, or bytes. */
type Message = Map<number, (number | Uint8Array)[]>;

function decode(bytes: Uint8Array): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Message = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
  };
  const value = (wireType: number): number | Uint8Array => {
    if (wireType === 0) return varint();
    if (wireType === 5) return view.getFloat32((at += 4) - 4, true);
    if (wireType !== 2) throw new Error(`wire type ${wireType}`);
    const length = varint();
    at += length;
    if (at > bytes.length) throw new Error('a field reaches beyond its message');
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = tag >> 3;
    fields.set(field, [...(fields.get(field) ?? []), value(tag & 7)]);
  }
  return fields;
}

const text = (value: number | Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(value as Uint8Array);
const texts = (m: Message, field: number) => (m.get(field) ?? []).map(text);
const numbers = (m: Message, field: number) => (m.get(field) ?? []) as number[];
const messages = (m: Message, field: number) => (m.get(field) ?? []).map(bytes => decode(bytes as Uint8Array));

export interface Node {
  op: string;
  name: string;
  inputs: string[];
  outputs: string[];
  attributes: Record<string, number | number[]>;
}

export interface Model {
  irVersion: number;
  opset: number;
  metadata: Record<string, string>;
  /** Sizes and names of free sizes, by the name of the graph's input and output. */
  inputs: Record<string, (number | string)[]>;
  outputs: Record<string, (number | string)[]>;
  nodes: Node[];
  constants: Map<string, Ref>;
}

/** Decodes a file; numbers of fields are those of onnx.proto. */
export function readOnnx(bytes: Uint8Array): Model {
  const model = decode(bytes);
  const [graph] = messages(model, 7);
  const [opset] = messages(model, 8);
  const values = (field: number) =>
    Object.fromEntries(
      messages(graph, field).map(value => {
        const [tensor] = messages(messages(value, 2)[0], 1);
        if (numbers(tensor, 1)[0] !== 1) throw new Error('a value that is not of floats');
        const sizes = messages(messages(tensor, 2)[0], 1).map(size => texts(size, 2)[0] ?? numbers(size, 1)[0]);
        return [texts(value, 1)[0], sizes];
      }),
    );
  return {
    irVersion: numbers(model, 1)[0],
    opset: numbers(opset, 2)[0],
    metadata: Object.fromEntries(messages(model, 14).map(entry => [texts(entry, 1)[0], texts(entry, 2)[0]])),
    inputs: values(11),
    outputs: values(12),
    nodes: messages(graph, 1).map(node => ({
      op: texts(node, 4)[0],
      name: texts(node, 3)[0],
      inputs: texts(node, 1),
      outputs: texts(node, 2),
      attributes: Object.fromEntries(messages(node, 5).map(a => [texts(a, 1)[0], attribute(a)])),
    })),
    constants: new Map(
      messages(graph, 5).map(constant => {
        if (numbers(constant, 2)[0] !== 1) throw new Error('a constant that is not of floats');
        const raw = new Uint8Array(constant.get(9)![0] as Uint8Array);
        return [texts(constant, 8)[0], ref(numbers(constant, 1), new Float32Array(raw.buffer))];
      }),
    ),
  };
}

/** Type 1 is a float, 2 an int, 7 ints. */
function attribute(a: Message): number | number[] {
  const [type] = numbers(a, 20);
  if (type === 1) return numbers(a, 2)[0];
  if (type === 2) return numbers(a, 3)[0];
  if (type === 7) return numbers(a, 8);
  throw new Error(`an attribute of type ${type}`);
}

/** Runs a graph of one input and one output. Values are computed in the order of the nodes; each name is assigned once. */
export function runOnnx({ nodes, constants, inputs, outputs }: Model, x: Ref): Ref {
  const values = new Map([...constants, [Object.keys(inputs)[0], x]]);
  for (const node of nodes) {
    const given = node.inputs.map(name => {
      const value = values.get(name);
      if (!value) throw new Error(`${node.name}: there is no ${name} yet`);
      return value;
    });
    const [output] = node.outputs;
    if (values.has(output)) throw new Error(`${output} is assigned twice`);
    values.set(output, apply(node, given));
  }
  return values.get(Object.keys(outputs)[0])!;
}

type Pair = [number, number];

function apply({ op, attributes }: Node, [x, w, b, ...rest]: Ref[]): Ref {
  const ints = (name: string) => attributes[name] as number[];
  const window = () => {
    const [top, left, bottom, right] = ints('pads');
    if (top !== bottom || left !== right) throw new Error('padding that differs between sides');
    return { kernel: ints('kernel_shape') as Pair, stride: ints('strides') as Pair, padding: [top, left] as Pair };
  };
  switch (op) {
    case 'Sub':
      return sub.forward(x, w);
    case 'Div':
      return div.forward(x, w);
    case 'Add':
      return add.forward(x, w);
    case 'Relu':
      return relu.forward(x);
    case 'Conv': {
      const { stride, padding } = window();
      if (ints('kernel_shape').join() !== w.shape.slice(2).join()) throw new Error('kernel_shape is not that of the weight');
      const dilation = ints('dilations') as Pair;
      const y = conv2d.forward(x, w, { stride, padding, dilation, groups: attributes.group as number });
      return b ? add.forward(y, ref([b.data.length, 1, 1], b.data)) : y;
    }
    case 'BatchNormalization': {
      const [mean, variance] = rest;
      return batchNormEval.forward(x, w, b, { mean, variance }, { eps: attributes.epsilon as number });
    }
    case 'MaxPool':
      return maxPool2d.forward(x, window());
    case 'GlobalAveragePool':
      return adaptiveAvgPool2d.forward(x, [1, 1]);
    case 'Flatten': {
      const n = x.shape.slice(0, attributes.axis as number).reduce((a, c) => a * c, 1);
      return ref([n, x.data.length / n], x.data);
    }
    case 'Gemm':
      if (attributes.transB !== 1) throw new Error('Gemm without transB');
      return add.forward(matmul.forward(x, w, { transposeB: true }), b);
    default:
      throw new Error(`operation ${op}`);
  }
}
