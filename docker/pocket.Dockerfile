# The pocket simulator, and the agents that are evaluated on it or on a CARLA server. From the repository's root:
#   docker build --file docker/pocket.Dockerfile --tag bicameral-pocket .
#   docker run --rm --publish 127.0.0.1:2000-2001:2000-2001 bicameral-pocket
#   docker run --rm --volume "$PWD/runs:/runs" bicameral-pocket bicameral evaluate --output /runs/evaluate
# CARLA's client exists for x86-64 only.

FROM python:3.11-slim AS build
WORKDIR /source
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
COPY requirements/build.txt requirements/evaluate.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
    && python -m venv --without-pip /opt/bicameral \
    && uv pip install --python /opt/bicameral --require-hashes --requirement requirements/evaluate.txt
# Below the libraries, which change less often.
COPY . .
RUN uv build --wheel --no-build-isolation --out-dir /wheel \
    && uv pip install --python /opt/bicameral --no-deps /wheel/*.whl \
    && mkdir /empty

FROM python:3.11-slim
LABEL org.opencontainers.image.title="bicameral-pocket" \
      org.opencontainers.image.description="A simulator that speaks CARLA 0.9.16's protocol without a GPU, and agents to drive in it" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/bicameral /opt/bicameral
# Machine code of the kernels, compiled at the first start for the processor at hand; a volume keeps it.
COPY --from=build --chown=10001:10001 /empty /cache
ENV PATH=/opt/bicameral/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/cache \
    XDG_CACHE_HOME=/cache \
    BICAMERAL_SIMULATE_HOST=0.0.0.0 \
    BICAMERAL_SIMULATE_PORT=2000
USER 10001:10001
WORKDIR /runs
VOLUME /cache
EXPOSE 2000 2001
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 CMD ["python", "-c", \
    "import os, socket; socket.create_connection(('127.0.0.1', int(os.environ['BICAMERAL_SIMULATE_PORT'])), 4).close()"]
CMD ["bicameral", "simulate"]
