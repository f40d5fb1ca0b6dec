# Three stages: the database clients are generated with the Prisma CLI, the packages that production needs are
# installed apart from it, and the image takes only what the server reads. No install script of a package ever runs.

FROM node:26-slim AS clients
WORKDIR /app
COPY package.json package-lock.json prisma.config.ts ./
COPY scripts/generate.js scripts/
COPY prisma/schema.prisma prisma/
RUN npm ci --ignore-scripts && node scripts/generate.js

FROM node:26-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# `optional` leaves out the Prisma CLI and TypeScript; of Prisma's query compilers two dialects, in one size, are used.
RUN npm ci --ignore-scripts --omit=dev --omit=optional \
  && find node_modules/@prisma/client/runtime -name 'query_compiler_*' \
    ! -name 'query_compiler_small_bg.postgresql.*mjs' ! -name 'query_compiler_small_bg.sqlite.*mjs' -delete \
  && find node_modules \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM node:26-slim
ENV NODE_ENV=production PORTCULLIS_DATA_DIR=/data
RUN install --directory --owner=node --group=node --mode=0700 /data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules/
COPY package.json LICENSE ./
COPY bin bin/
COPY prisma/migrations prisma/migrations/
COPY views views/
COPY src src/
COPY --from=clients /app/src/storage/generated src/storage/generated/

# The server writes to /data alone: `docker run --read-only` works.
USER 1000:1000
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["node", "bin/portcullis.js", "health"]
ENTRYPOINT ["node", "bin/portcullis.js"]
CMD ["start"]
