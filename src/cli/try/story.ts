/** Tells the steps of the demo: in plain words to people, a JSON object a line to scripts. */
import { Failure } from '../failure.ts';
import type { Document } from '../json.ts';
import { record } from '../table.ts';
import { print, type Terminal } from '../terminal.ts';

/** What a step gives to the next ones, and what it shows. */
export interface Outcome<T> {
  readonly result: T;
  /** Never a token or a secret. */
  readonly shows: Document;
}

/** The demo as it is told. */
export interface Story {
  /**
   * Runs one step.
   * @throws Failure when it does not behave as promised, or was interrupted
   */
  step<T>(name: string, title: string, explanation: string, act: () => Promise<Outcome<T>>): Promise<T>;
  /** The last step: it runs after an interrupt too. */
  last(name: string, title: string, explanation: string, act: () => Promise<Outcome<void>>): Promise<void>;
}

/** Begins a story. */
export function tell(terminal: Terminal, json: boolean): Story {
  const interrupted = terminal.interrupted();
  let count = 0;
  const show = (text: string): void => {
    if (!json) print(terminal, text.replaceAll(/^(?=.)/gm, '   '));
  };
  const line = (value: Document): void => {
    if (json) print(terminal, JSON.stringify(value));
  };
  const run = async <T>(
    name: string,
    title: string,
    explanation: string,
    act: () => Promise<Outcome<T>>,
  ): Promise<T> => {
    count += 1;
    if (!json) print(terminal, `${count}. ${title}`);
    show(explanation);
    try {
      const { result, shows } = await act();
      show(record(shows));
      show('ok');
      if (!json) print(terminal, '');
      line({ step: name, ok: true, title, explanation, shows });
      return result;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      show(`NOT AS PROMISED: ${message}`);
      if (!json) print(terminal, '');
      line({ step: name, ok: false, title, explanation, error: message });
      throw error;
    }
  };
  return {
    step: (...args) => {
      if (interrupted.aborted) throw new Failure('interrupted');
      return run(...args);
    },
    last: run,
  };
}

/**
 * Checks a promise.
 * @throws Failure that says what was expected
 */
export function expect(kept: boolean, promise: string): asserts kept {
  if (!kept) throw new Failure(promise);
}
