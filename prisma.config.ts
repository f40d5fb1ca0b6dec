import { defineConfig } from 'prisma/config';

// The CLI insists on a native schema engine that it would download, yet these verbs never run it: any existing
// file satisfies them. `prisma migrate` would run it, and with this stand-in do nothing and say nothing.
if (['generate', 'validate', 'format'].includes(process.argv[2] ?? '')) {
  process.env['PRISMA_SCHEMA_ENGINE_BINARY'] ??= process.execPath;
}

export default defineConfig({ schema: 'prisma/schema.prisma' });
