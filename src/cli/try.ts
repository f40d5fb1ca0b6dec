/** `portcullis try`: walks a whole flow against the server, explains each step, and fails when a promise is not kept. */
import { type Command, Option } from 'commander';
import { connect } from './api.ts';
import { addConnection, addExamples } from './commands.ts';
import { print, say, type Terminal } from './terminal.ts';
import { setUp, takeDown } from './try/stage.ts';
import { tell } from './try/story.ts';

/** What the demo's own admin calls need. */
const SCOPES = ['users:write', 'apis:write', 'clients:write', 'audit:read'] as const;

/** Declares the verb. */
export function addTry(program: Command, terminal: Terminal): void {
  const command = addConnection(
    program
      .command('try')
      .description(
        'walk a whole flow against the server and explain each step: sign-in, tokens, refresh, replay',
      )
      .addOption(new Option('--browser', 'sign in with your own browser, on this machine'))
      .option('--keep', 'leave the demo user, API and clients there'),
  );
  addExamples(command, ['try', 'try --browser', 'try --json']);
  command.action(async ({ url, json, browser, keep }: Record<string, string | true | undefined>) => {
    const story = tell(terminal, json === true);
    const api = await story.step(
      'admin',
      'An administrator signs in',
      'The server publishes where its endpoints are. The admin client gets a short-lived token there, by ' +
        'client_credentials, with only the scopes that this demo needs. It stays in memory.',
      async () => {
        const result = await connect(terminal, url as string | undefined, SCOPES);
        return {
          result,
          shows: { issuer: result.metadata['issuer'], client_id: result.clientId, scope: SCOPES },
        };
      },
    );
    const { flow } = await import('./try/flow.ts'); // it verifies signatures: no other verb needs that
    const stage = await setUp(api, story, browser === true);
    const failure = await flow(api, story, stage, terminal).catch((error: unknown) => ({ error }));
    if (keep === true) say(terminal, `Kept: ${stage.made.map(({ path }) => path).join(' ')}`);
    else await takeDown(api, story, stage);
    if (failure) throw failure.error;
    if (json !== true) print(terminal, 'Every step behaved as promised.');
  });
}
