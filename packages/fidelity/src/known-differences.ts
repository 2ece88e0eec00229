/** Where homing answers otherwise than workerd, and why: fixture → end of a case's title → reason. */
export const knownDifferences: Readonly<Record<string, Readonly<Record<string, string>>>> = {};
