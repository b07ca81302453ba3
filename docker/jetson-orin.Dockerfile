# The Jetson runtime on a Jetson Orin (JetPack 6.1 or later). The build context is a bundle:
#   bicameral export --bundle fashion_mnist_cascade --target jetson-orin -o orin/
#   docker build --file docker/jetson-orin.Dockerfile --tag bicameral-orin orin/          (on the device)
#   docker run --rm --runtime nvidia --volume engines:/engines bicameral-orin build
#   docker run --rm --runtime nvidia --volume engines:/engines --publish 127.0.0.1:8080:8080 bicameral-orin
# Since JetPack 5, CUDA and TensorRT are in the image, and engines are of the image's TensorRT.
#
# A camera: the image has OpenCV with GStreamer from Ubuntu.
#   USB:  docker run ... --device /dev/video0 bicameral-orin classify --camera 0
#   CSI:  docker run ... --volume /tmp/argus_socket:/tmp/argus_socket bicameral-orin classify --camera csi
# The second needs nvargus-daemon on the device, which owns the camera; its socket is handed in.
# Not verified on hardware.

FROM nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel
LABEL org.opencontainers.image.title="bicameral-jetson-orin" \
      org.opencontainers.image.licenses="Apache-2.0"
# The versions are those of the image's Ubuntu release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gstreamer1.0-plugins-good python3-numpy python3-opencv \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner 10001 --group 44 /engines
COPY . /opt/bicameral
ENV LC_ALL=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# 44 is `video`, the group that may use the GPU.
USER 10001:44
VOLUME /engines
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 CMD ["python3", "-c", \
    "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python3", "/opt/bicameral/bicameral_jetson.py", "--engines", "/engines"]
# All addresses of the container: whom it lets in, `--publish` decides.
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
