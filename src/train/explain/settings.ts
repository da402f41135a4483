/** The settings of `sparrow explain`: its flags, and the rules that span several. */
import { craftingFlags, engineFlags, oneAttack, victimFlags } from '../attack-settings.ts';
import { checkSettings, type Flag, integer, number, type Settings, text, toggle, withDefaults } from '../flags.ts';

/** What can be computed, in the order of the page. */
export const figureNames = ['cam', 'saliency', 'input', 'weights'] as const;
export type FigureName = (typeof figureNames)[number];

/** Figures separated by commas. */
const figureList: Flag<FigureName[]> = {
  placeholder: 'LIST',
  default: [...figureNames],
  defaultText: 'all',
  help: `what to compute, separated by commas: ${figureNames.join(', ')}`,
  parse: value => [...new Set(value.split(',').map(name => name.trim() as FigureName))],
  problem: value =>
    Array.isArray(value) && value.length > 0 && value.every(name => figureNames.includes(name))
      ? null
      : `must be of ${figureNames.join(', ')}`,
};

/** An odd number, so that the middle of the grid is the image, or the network, itself. */
const gridSize: Flag<number> = {
  placeholder: 'N',
  default: 17,
  help: 'points along each side of a surface; odd',
  parse: value => integer({ help: '' }).parse(value) as number,
  problem: value =>
    Number.isSafeInteger(value) && (value as number) % 2 === 1 && (value as number) >= 3 && (value as number) <= 201
      ? null
      : 'must be an odd whole number in [3, 201]',
};

const { transferFrom: _, ...victim } = victimFlags;

/** What is explained. */
export const explainedFlags = {
  ...victim,
  checkpoint: { ...victim.checkpoint, help: 'the checkpoint that is explained' },
  limit: integer({ help: 'explain the first N images of the split', default: 16, min: 1 }),
};

/** Which figures, and how they are made. */
export const figureFlags = {
  figures: figureList,
  layer: text({
    help: 'the module whose output Grad-CAM looks at, such as layer3.1',
    default: undefined,
    defaultText: 'the last block whose map has at least 4x4 positions',
    placeholder: 'NAME',
  }),
  flip: toggle({ help: 'Grad-CAM of the image alone, without that of its mirror image', given: false }),
  eigen: toggle({ help: 'Grad-CAM as the sum over channels instead of their first principal component', given: false }),
  grid: gridSize,
  surfaces: integer({ help: 'images whose surroundings are drawn', default: 4, min: 1 }),
  radius: number({ help: 'how far the surface around an image reaches, in units of eps', default: 2, above: 0 }),
  weightRadius: number({
    help: "how far the surface in weight space reaches, in units of a filter's length",
    default: 1,
    above: 0,
  }),
  recraft: integer({
    help: 'attack the images anew at every point in weight space, by PGD of N steps; 0 attacks them once, on the checkpoint',
    default: 0,
    min: 0,
  }),
};

/** Every setting of `sparrow explain` that changes a number. */
export const explainFlags = { ...explainedFlags, ...craftingFlags, ...figureFlags, ...engineFlags };

/** Radius and step size of the attack are in the units of the command line. */
export interface ExplainSettings extends Settings<typeof explainFlags> {}

/** Whole, valid settings from what was given. @throws UsageError for the first thing that is wrong, naming its flag */
export function resolveExplanation(given: Partial<ExplainSettings>): ExplainSettings {
  const settings = withDefaults(explainFlags, given);
  checkSettings(explainFlags, settings);
  oneAttack(settings);
  return settings;
}
