# The facilitator's page as static files behind nginx. Build it from the repository's root:
#   docker build -f deploy/frontend.Dockerfile -t hint-relay/frontend .

FROM node:22.23.2-bookworm-slim AS build
WORKDIR /src
ENV NEXT_TELEMETRY_DISABLED=1
# Dependencies first: this layer stays until the lock file changes.
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci
COPY frontend ./
# Inlined into the page. Empty: the page derives it from its own origin.
ARG NEXT_PUBLIC_WS_URL=""
ENV NEXT_PUBLIC_WS_URL=$NEXT_PUBLIC_WS_URL
# Empty: tokens come in links only.
ARG NEXT_PUBLIC_TOKEN_URL=""
ENV NEXT_PUBLIC_TOKEN_URL=$NEXT_PUBLIC_TOKEN_URL
RUN npm run build

FROM nginxinc/nginx-unprivileged:1.30-alpine
COPY deploy/nginx.conf /etc/nginx/conf.d/default.conf
COPY --from=build /src/out /usr/share/nginx/html
USER 101
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["wget", "-Y", "off", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]
