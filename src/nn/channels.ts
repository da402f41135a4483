/**
 * Channels that exist or go together, and removing them.
 *
 * Channel c of a group is output channel c of the convolutions that write it, channel c of the batch norms that normalise it, and
 * input channel c of the layers that read it. Inside a block (and in a VGG) a group is what lies between two convolutions. A
 * residual stream is one group from the convolution that opens it to the next shortcut with a convolution: its blocks all add to
 * the same channels, so a channel can go only from all of them. In every network here a group is read through its norms alone,
 * each followed by ReLU. A channel whose gammas and betas are all 0 therefore reaches no layer, and the network without it
 * computes the same logits, in train and in eval mode.
 */
import { FileError } from '../errors.ts';
import type { BatchNorm2d, Conv2d, Linear } from './layers.ts';
import { Module } from './module.ts';

export interface ChannelGroup {
  readonly writers: readonly Conv2d[];
  readonly norms: readonly BatchNorm2d[];
  readonly readers: readonly (Conv2d | Linear)[];
}

/** A module whose channels can be removed. */
export abstract class Network extends Module {
  /** Every group of channels, in the order of the network. */
  abstract channelGroups(): ChannelGroup[];
}

/** Channels by group; a group has the name of the first convolution that writes it. */
export type Widths = Readonly<Record<string, number>>;

/**
 * The layers of a pre-activation block: norms[i] and ReLU stand before convs[i]; a convolution in the shortcut reads what
 * convs[0] reads.
 */
export interface PreActivation {
  readonly norms: readonly BatchNorm2d[];
  readonly convs: readonly Conv2d[];
  readonly shortcut: Conv2d | undefined;
}

/** The groups of a network of pre-activation blocks between a first convolution and a last norm with a linear layer. */
export function residualGroups(first: Conv2d, blocks: readonly PreActivation[], last: BatchNorm2d, head: Linear): ChannelGroup[] {
  const open = (...writers: Conv2d[]) => ({ writers, norms: [] as BatchNorm2d[], readers: [] as (Conv2d | Linear)[] });
  let stream = open(first);
  const groups: ChannelGroup[] = [stream];
  for (const { norms, convs, shortcut } of blocks) {
    stream.norms.push(norms[0]);
    stream.readers.push(convs[0], ...(shortcut ? [shortcut] : []));
    for (let i = 1; i < convs.length; i++) groups.push({ writers: [convs[i - 1]], norms: [norms[i]], readers: [convs[i]] });
    const end = convs[convs.length - 1];
    if (shortcut) {
      stream = open(end, shortcut);
      groups.push(stream);
    } else stream.writers.push(end);
  }
  stream.norms.push(last);
  stream.readers.push(head);
  return groups;
}

/**
 * Removes all channels but these. To be called before anything holds the parameters.
 * @param kept indices by group, rising, at least one
 */
export function keepChannels(network: Network, kept: readonly (readonly number[])[]): void {
  const outputs = new Map<Conv2d, readonly number[]>();
  const inputs = new Map<Conv2d | Linear, readonly number[]>();
  for (const [i, { writers, norms, readers }] of network.channelGroups().entries()) {
    for (const conv of writers) outputs.set(conv, kept[i]);
    for (const norm of norms) norm.keepChannels(kept[i]);
    for (const layer of readers) inputs.set(layer, kept[i]);
  }
  for (const layer of new Set([...outputs.keys(), ...inputs.keys()]))
    layer.keepChannels(inputs.get(layer), outputs.get(layer as Conv2d));
}

/** The channels of a group. */
export const groupWidth = ({ writers }: ChannelGroup): number => writers[0].weight.shape[0];

/** The channels of every group. */
export function widthsOf(network: Network): Widths {
  const names = new Map([...network.modules()].map(([name, module]) => [module, name]));
  return Object.fromEntries(network.channelGroups().map(group => [names.get(group.writers[0])!, groupWidth(group)]));
}

/**
 * Gives a network the widths of a pruned one, whose state it can take then.
 * @param source what messages call the file that the widths come from
 * @throws FileError if they are not widths of such a network, naming the first that is wrong
 */
export function setWidths(network: Network, widths: Widths, source: string): void {
  const own = widthsOf(network);
  const strange = Object.keys(widths).find(name => !Object.hasOwn(own, name));
  if (strange !== undefined) throw new FileError(`${source}: its widths name '${strange}', which is no layer of this network`);
  const kept = Object.entries(own).map(([name, most]) => {
    const width = widths[name];
    if (!(Number.isInteger(width) && width >= 1 && width <= most))
      throw new FileError(`${source}: its widths give ${name} ${width} channels, where 1 to ${most} are possible`);
    return Array.from({ length: width }, (_, c) => c);
  });
  keepChannels(network, kept);
}

/** A tensor that a group's channels are counted by: how many it has, as far as its shape says. */
interface Claim {
  readonly tensor: string;
  readonly channels: number;
}

/**
 * The widths of a pruned network in the shapes of its tensors, where nothing else names them: each writer, norm and reader of a group must have the same
 * channels left.
 * @param network of the same architecture with all channels @param source what messages call the file
 * @returns undefined where there are all channels, and where the tensors are those of another network: what does not fit is then for others to say
 * @throws FileError where the layers of a group have different channels, naming the first two
 */
export function widthsIn(
  network: Network,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  source: string,
): Widths | undefined {
  const names = new Map([...network.modules()].map(([name, module]) => [module, name]));
  const groups = network.channelGroups().map(group => ({ most: groupWidth(group), claims: claimsOn(group, names, tensors) }));
  if (groups.some(({ most, claims }) => claims.some(({ channels }) => !(channels >= 1 && channels <= most)))) return undefined;
  if (groups.every(({ most, claims: [first] }) => first.channels === most)) return undefined;
  for (const { claims } of groups) {
    const [first] = claims;
    const other = claims.find(({ channels }) => channels !== first.channels);
    if (!other) continue;
    const [a, b] = [first, other].map(({ tensor, channels }) => `${tensor} has ${channels}`);
    throw new FileError(`${source}: does not fit the model: its channels do not go together: ${a}, ${b}`);
  }
  const own = Object.keys(widthsOf(network));
  return Object.fromEntries(own.map((name, i) => [name, groups[i].claims[0].channels]));
}

/** What the tensors say of a group's width; NaN for one that is missing or of another layer's shape. */
function claimsOn(
  { writers, norms, readers }: ChannelGroup,
  names: ReadonlyMap<Module, string>,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Claim[] {
  const claim = (layer: Conv2d | Linear | BatchNorm2d, axis: 0 | 1): Claim => {
    const tensor = `${names.get(layer)}.weight`;
    const { shape = [] } = tensors.get(tensor) ?? {};
    return { tensor, channels: shape.length === layer.weight.rank ? shape[axis] : Number.NaN };
  };
  return [...writers, ...norms].map(layer => claim(layer, 0)).concat(readers.map(layer => claim(layer, 1)));
}
