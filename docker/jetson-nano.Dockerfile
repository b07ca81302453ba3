# The Jetson runtime on a Jetson Nano (JetPack 4.6, L4T r32.7). The build context is a bundle:
#   bicameral export --bundle fashion_mnist_cascade --target jetson-nano -o nano/
#   docker build --file docker/jetson-nano.Dockerfile --tag bicameral-nano nano/          (on the device)
#   docker run --rm --runtime nvidia --volume engines:/engines bicameral-nano build
#   docker run --rm --runtime nvidia --volume engines:/engines --publish 127.0.0.1:8080:8080 bicameral-nano
# NVIDIA's container runtime mounts CUDA, cuDNN and TensorRT from the device, so they are not in the
# image. Where TensorRT's Python module is not among what it mounts, add
#   --volume /usr/lib/python3.6/dist-packages/tensorrt:/usr/lib/python3.6/dist-packages/tensorrt:ro
#
# A camera: the image has OpenCV with GStreamer from Ubuntu (3.2; JetPack's own is not in it).
#   USB:  docker run ... --device /dev/video0 bicameral-nano classify --camera 0
#   CSI:  docker run ... --volume /tmp/argus_socket:/tmp/argus_socket bicameral-nano classify --camera csi
# The second needs nvargus-daemon on the device, which owns the camera; its socket is handed in.
# Not verified on hardware.

FROM nvcr.io/nvidia/l4t-base:r32.7.1
LABEL org.opencontainers.image.title="bicameral-jetson-nano" \
      org.opencontainers.image.licenses="Apache-2.0"
# Ubuntu 18.04 gets no new versions; a pinned one would only vanish from the mirrors.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gstreamer1.0-plugins-good python3-numpy python3-opencv \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner 10001 --group 44 /engines
COPY . /opt/bicameral
ENV LC_ALL=C.UTF-8 \
    LD_LIBRARY_PATH=/usr/local/cuda/lib64 \
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
