/** The names of the architectures, apart from their code: the command line lists them without loading the engine. */

/** The names that `--arch` takes. */
export const architectures = [
  'resnet18',
  'resnet34',
  'resnet50',
  'resnet101',
  'resnet152',
  'vgg11_bn',
  'vgg13_bn',
  'vgg16_bn',
  'vgg19_bn',
  'wideresnet',
  'resnet8',
] as const;

export type Architecture = (typeof architectures)[number];
