/** ONNX files: a graph of operations as the message `ModelProto`. Field numbers are those of onnx.proto (IR version 8), operations those of operator set 17. */
import { bytes as bytesField, encode, type Field, float, int, message, string } from './protobuf.ts';

const irVersion = 8;
const opset = 17;
/** `TensorProto.DataType` of float32. */
const FLOAT = 1;

/** Attributes by name. Arrays are ONNX's `ints`; `Float32Array.of(x)` is a single float, a number a single int. */
export type OnnxAttributes = Readonly<Record<string, number | readonly number[] | Float32Array>>;

/** One operation; inputs and outputs are names of values. */
export interface OnnxNode {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: OnnxAttributes;
}

/** A value that goes in or comes out, float32; a text in its shape is a size that is free, by its name. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly input: OnnxValue;
  readonly output: OnnxValue;
  /** In an order in which they can run. */
  readonly nodes: readonly OnnxNode[];
  /** Constants by name, float32, row-major. */
  readonly constants: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Whatever else the file should say. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes of an `.onnx` file. @param producer the program and its version */
export function encodeOnnx(graph: OnnxGraph, producer: { name: string; version: string }): Uint8Array {
  return encode([
    int(1, irVersion),
    string(2, producer.name),
    string(3, producer.version),
    message(7, [
      ...graph.nodes.map(nodeField),
      string(2, graph.name),
      ...[...graph.constants].map(([name, { shape, data }]) =>
        message(5, [
          ...shape.map(size => int(1, size)),
          int(2, FLOAT),
          string(8, name),
          bytesField(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
        ]),
      ),
      message(11, valueFields(graph.input)),
      message(12, valueFields(graph.output)),
    ]),
    message(8, [string(1, ''), int(2, opset)]),
    ...Object.entries(graph.metadata).map(([key, value]) => message(14, [string(1, key), string(2, value)])),
  ]);
}

function nodeField({ op, name, inputs, output, attributes }: OnnxNode): Field {
  return message(1, [
    ...inputs.map(input => string(1, input)),
    string(2, output),
    string(3, name),
    string(4, op),
    ...Object.entries(attributes).map(([key, value]) => message(5, [string(1, key), ...attributeFields(value)])),
  ]);
}

/** The value, and in field 20 the type that says where it is: 1 a float, 2 an int, 7 ints. */
function attributeFields(value: OnnxAttributes[string]): Field[] {
  if (typeof value === 'number') return [int(3, value), int(20, 2)];
  if (value instanceof Float32Array) return [float(2, value[0]), int(20, 1)];
  return [...value.map(n => int(8, n)), int(20, 7)];
}

function valueFields({ name, shape }: OnnxValue): Field[] {
  const sizes = shape.map(size => message(1, [typeof size === 'number' ? int(1, size) : string(2, size)]));
  return [string(1, name), message(2, [message(1, [int(1, FLOAT), message(2, sizes)])])];
}
