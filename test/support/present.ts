/** What must be there for a test to go on. */
export function present<T>(value: T | null | undefined): T {
  if (value === undefined || value === null) throw new Error('what the test needs is not there');
  return value;
}
