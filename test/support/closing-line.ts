/** The last line of a test run, in a form that scripts can read: `tests: 12 passed, 0 failed, 3 skipped`. */
import type { Reporter } from 'vitest/node';

/** Vitest reporter; a file that did not load, a failed hook and an unhandled error count as a failed test each. */
export const closingLine: Reporter = {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state]++;
      for (const suite of [module, ...module.children.allSuites()]) {
        if (suite.errors().length > 0) count.failed++; // did not load, or a hook failed
      }
    }
    const skipped = count.skipped + count.pending;
    process.stdout.write(
      `\ntests: ${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
    );
  },
};
