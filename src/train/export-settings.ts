/** The settings of `sparrow export`. */
import { victimFlags } from './attack-settings.ts';
import { checkSettings, choice, type Settings, text, withDefaults } from './flags.ts';

const { dataset, data, skipCorrupt, arch, width, depthFactor, widthFactor } = victimFlags;

/** Every setting of `sparrow export`. */
export const exportFlags = {
  checkpoint: text({ help: 'the checkpoint or state_dict', default: undefined, placeholder: 'FILE', required: true }),
  to: choice(['onnx', 'safetensors', 'pth'], { help: 'format', required: true }),
  out: text({ help: 'the file to write', default: undefined, placeholder: 'FILE', required: true }),
  dataset,
  data,
  skipCorrupt,
  arch,
  width,
  depthFactor,
  widthFactor,
};

export interface ExportSettings extends Settings<typeof exportFlags> {}

/** Whole, valid settings from what was given. @throws UsageError for the first thing that is wrong, naming its flag */
export function resolveExport(given: Partial<ExportSettings>): ExportSettings {
  const settings = withDefaults(exportFlags, given);
  checkSettings(exportFlags, settings);
  return settings;
}

/** What was written. */
export interface ExportResult {
  readonly file: string;
  readonly format: ExportSettings['to'];
  readonly tensors: number;
  readonly bytes: number;
}
