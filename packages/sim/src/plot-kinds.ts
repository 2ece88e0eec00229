/** The names of plots, as profiles choose among them; see plots.ts. */
const plotKinds = [
  'plot-go-between',
  'plot-forgetful',
  'plot-late-answer',
  'plot-replaced',
  'plot-busy-owner',
  'plot-three-owners',
  'plot-unaware-owner',
  'plot-full-disk',
] as const;

export type PlotKind = (typeof plotKinds)[number];

export function isPlot(kind: string): kind is PlotKind {
  return plotKinds.some((each) => each === kind);
}
