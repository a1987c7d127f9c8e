// One line per check; the sum of them is the verdict.

/** Largest |a - b|; Infinity when the sizes differ or only one of a pair is a number. */
export function largestDeviation(actual, expected) {
  if (actual === undefined || actual.length !== expected.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Number.isNaN(actual[i]) && Number.isNaN(expected[i])) continue;
    const deviation = Math.abs(actual[i] - expected[i]);
    if (!(deviation <= largest)) largest = Number.isNaN(deviation) ? Infinity : deviation;
  }
  return largest;
}

const show = (value) => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
};

export class Report {
  passed = 0;
  out = 0;
  skipped = 0;
  #print;
  #group = '';

  constructor(print) {
    this.#print = print;
  }

  /** Starts a group: its name goes before the names of its checks. */
  group(name) {
    this.#group = name;
  }

  #line(verdict, name, detail) {
    this.#print(`${verdict.padEnd(5)} ${`${this.#group}  ${name}`.padEnd(52)} ${detail}`);
  }

  #verdict(ok, name, detail) {
    this[ok ? 'passed' : 'out'] += 1;
    this.#line(ok ? 'ok' : 'OUT', name, detail);
  }

  /** Numbers within a tolerance. */
  near(name, actual, expected, tolerance) {
    const deviation = largestDeviation(actual, expected);
    const sizes = actual !== undefined && actual.length === expected.length ? '' :
      `  (expected ${expected.length} values, found ${actual === undefined ? 'none' : actual.length})`;
    this.#verdict(deviation <= tolerance, name, `${deviation.toExponential(2)} of ${tolerance.toExponential(0)}${sizes}`);
  }

  /** Anything that JSON can write, exactly. */
  equal(name, actual, expected) {
    const ok = JSON.stringify(actual) === JSON.stringify(expected);
    this.#verdict(ok, name, ok ? 'exact' : `expected ${show(expected)}, found ${show(actual)}`);
  }

  /** Many exact comparisons in one line: [label, actual, expected] each. The first differences are shown. */
  allEqual(name, rows) {
    const wrong = rows.filter(([, actual, expected]) => JSON.stringify(actual) !== JSON.stringify(expected));
    this.#verdict(wrong.length === 0, name, `${wrong.length} of ${rows.length} differ, 0 allowed`);
    for (const [label, actual, expected] of wrong.slice(0, 5)) {
      this.#print(`        ${show(label)}: expected ${show(expected)}, found ${show(actual)}`);
    }
  }

  broken(name, error) {
    this.#verdict(false, name, error instanceof Error ? error.message : String(error));
  }

  skip(name, reason) {
    this.skipped += 1;
    this.#line('skip', name, reason);
  }

  summary() {
    return `${this.passed + this.out} checks: ${this.passed} within tolerance, ${this.out} out; ${this.skipped} skipped`;
  }
}
