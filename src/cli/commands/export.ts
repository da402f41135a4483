/** `sparrow export`: a checkpoint for other programs. */
import type { Command } from 'commander';
import { exportFlags, resolveExport } from '../../train/export-settings.ts';
import * as engine from '../engine.ts';
import { addFlags, addOutputOptions, givenFlags } from '../options.ts';
import { byteCount } from '../table.ts';
import { type OutputOptions, printResult, withProgress } from '../terminal.ts';
import { noticesOf } from './eval.ts';

const examples = `
Examples:
  For ONNX Runtime and everything else that reads ONNX (operator set 17), from pixels in [0, 1] to logits, of any number of images:
    sparrow export --checkpoint runs/fb/best-ra.safetensors --to onnx --out fb.onnx
  For torch.load, and for the --pretrained of the PyTorch code of "Sparsity Winning Twice":
    sparrow export --checkpoint runs/fb/best-ra.safetensors --to pth --out fb.pth
  The state_dict alone, without masks and momentum:
    sparrow export --checkpoint runs/fb/checkpoint.safetensors --to safetensors --out fb.safetensors
  From a state_dict of PyTorch:
    sparrow export --checkpoint model.pth --dataset cifar10 --arch resnet18 --to onnx --out model.onnx

Masked weights are zeros. Of a run with --ema the average is written. State_dicts contain normalize.mean and normalize.std, as those of the
PyTorch code do; load them elsewhere with strict=False.`;

export function addExport(program: Command): void {
  const command = program
    .command('export')
    .summary('a checkpoint as ONNX, safetensors or a .pth file')
    .description(
      "Writes a checkpoint's network for other programs. What it is, is what the file says; a plain state_dict needs --dataset and --arch for ONNX.",
    );
  addFlags(command, 'Export', exportFlags);
  addOutputOptions(command)
    .addHelpText('after', examples)
    .action(async (options: OutputOptions) => {
      const settings = resolveExport(givenFlags(command, exportFlags));
      const result = await withProgress(options, hooks => engine.exportCheckpoint(settings, noticesOf(options, hooks)));
      const { file, tensors, bytes } = result;
      printResult(options, result, `${file}: ${tensors} tensors, ${byteCount(bytes)}`);
    });
}
