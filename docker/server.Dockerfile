# The inference server. From the repository's root:
#   docker build --file docker/server.Dockerfile --tag bicameral-server .
#   docker run --rm --read-only --cap-drop ALL --publish 127.0.0.1:8000:8000 bicameral-server
# It writes below /dev/shm, which a read-only container can write too, and beside models that are taught.

FROM python:3.11-slim AS build
WORKDIR /source
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
COPY requirements/build.txt requirements/server.txt requirements/
RUN pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
    && python -m venv --without-pip /opt/bicameral \
    && uv pip install --python /opt/bicameral --require-hashes --requirement requirements/server.txt
# Below the libraries, which change less often.
COPY . .
RUN uv build --wheel --no-build-isolation --out-dir /wheel \
    && uv pip install --python /opt/bicameral --no-deps /wheel/*.whl

FROM python:3.11-slim
LABEL org.opencontainers.image.title="bicameral-server" \
      org.opencontainers.image.description="Small classifiers, cascades and driving agents over the Open Inference Protocol" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/bicameral /opt/bicameral
# Every option of `bicameral serve` may be set like these two. All addresses of the container:
# whom it lets in, `--publish` decides.
ENV PATH=/opt/bicameral/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BICAMERAL_SERVE_HOST=0.0.0.0 \
    BICAMERAL_SERVE_PORT=8000
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /models
EXPOSE 8000
# Without urllib, which would go through a proxy if there is one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['BICAMERAL_SERVE_PORT']), timeout=4); c.request('GET', '/v2/health/ready'); sys.exit(c.getresponse().status != 200)"]
CMD ["bicameral", "serve"]
