/** Figures of several rounds: their median, and how far apart they lie. */

/** @param {readonly number[]} numbers */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/**
 * The median with the least and the greatest.
 * @param {readonly number[]} numbers
 * @param {number} digits
 */
export function spread(numbers, digits) {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return `${median(numbers).toFixed(digits)} [${low.toFixed(digits)}–${high.toFixed(digits)}]`;
}

/**
 * One line of a table.
 * @param {readonly string[]} cells
 * @param {readonly number[]} widths the first two columns are words, the others numbers
 */
export function row(cells, widths) {
  const padded = cells.map((cell, index) =>
    index < 2 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0),
  );
  console.log(padded.join(''));
}

/**
 * Runs each of `subjects` once a round, in an order that turns about, so that whatever else the
 * machine does meets all of them.
 * @template Subject, Figure
 * @param {readonly Subject[]} subjects
 * @param {number} rounds
 * @param {(subject: Subject) => Promise<Figure>} run
 * @returns {Promise<Map<Subject, Figure[]>>} the figures of each, by round
 */
export async function inTurns(subjects, rounds, run) {
  /** @type {Map<Subject, Figure[]>} */
  const figures = new Map(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? subjects : [...subjects].reverse();
    for (const subject of order) figures.get(subject)?.push(await run(subject));
  }
  return figures;
}
