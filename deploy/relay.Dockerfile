# The relay, and the `hint` command for producers. Build it from the repository's root:
#   docker build -f deploy/relay.Dockerfile -t hint-relay/relay .

FROM python:3.11.16-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/hint-relay
ENV PATH=/opt/hint-relay/bin:$PATH
WORKDIR /src
# Dependencies first: this layer stays until a pin changes.
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY relay ./relay
COPY producers ./producers
RUN pip install --no-deps .

FROM python:3.11.16-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin hint-relay
COPY --from=build /opt/hint-relay /opt/hint-relay
ENV PATH=/opt/hint-relay/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8000
# SIGTERM closes the sockets with a code that asks the pages to come back.
STOPSIGNAL SIGTERM
# The image has no curl. The empty ProxyHandler keeps HTTP_PROXY out of it.
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/health/ready', timeout=2)"]
ENTRYPOINT ["hint-relay"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
