# ovsam in a container: docs/docker.md.
#
#   docker build -t ovsam .                                                             a GPU's packages, and a CPU works
#   docker build -t ovsam:cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .          smaller, CPU alone
#   docker build -t ovsam:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 .           on NVIDIA's own base
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG TORCH_INDEX=""
ARG EXTRAS="ui"
SHELL ["/bin/sh", "-eu", "-c"]
# NVIDIA's images have no Python.
# hadolint ignore=DL3008
RUN if ! python3 -c "import ensurepip" 2>/dev/null; then \
      apt-get update; \
      apt-get install -y --no-install-recommends python3 python3-venv ca-certificates; \
      rm -rf /var/lib/apt/lists/*; \
    fi
RUN python3 -m venv /opt/ovsam
WORKDIR /src
# What ovsam needs, with a package that is empty yet: a change of the source does not load gigabytes anew.
COPY pyproject.toml README.md LICENSE NOTICE ./
RUN mkdir -p ovsam ovsam_pipeline configs; \
    touch ovsam/__init__.py ovsam_pipeline/__init__.py configs/empty.yaml; \
    if [ -n "${TORCH_INDEX}" ]; then \
      /opt/ovsam/bin/pip install --no-cache-dir --index-url "${TORCH_INDEX}" torch torchvision; \
    fi; \
    /opt/ovsam/bin/pip install --no-cache-dir ".[${EXTRAS}]"; \
    /opt/ovsam/bin/pip uninstall -y ovsam; \
    rm -r ovsam ovsam_pipeline configs
COPY configs configs
COPY ovsam ovsam
COPY ovsam_pipeline ovsam_pipeline
RUN /opt/ovsam/bin/pip install --no-cache-dir --no-deps .; \
    /opt/ovsam/bin/ovsam --version

FROM ${BASE}
ARG VERSION="0.1.0"
ARG REVISION=""
LABEL org.opencontainers.image.title="ovsam" \
      org.opencontainers.image.description="Images to masks and open-vocabulary names" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="docs/docker.md in the source" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
SHELL ["/bin/sh", "-eu", "-c"]
# hadolint ignore=DL3008
RUN if ! command -v python3 >/dev/null; then \
      apt-get update; \
      apt-get install -y --no-install-recommends python3 ca-certificates; \
      rm -rf /var/lib/apt/lists/*; \
    fi; \
    # Ubuntu's images have a user of this number already.
    if id -u 1000 >/dev/null 2>&1; then userdel "$(id -un 1000)"; fi; \
    useradd --uid 1000 --user-group --no-create-home --home-dir /cache ovsam; \
    mkdir -p /cache /data; \
    # Any user may be given by --user: weights and settings of libraries must find a place.
    chmod 1777 /cache
COPY --from=build /opt/ovsam /opt/ovsam
ENV PATH="/opt/ovsam/bin:${PATH}" \
    HOME=/cache \
    USER=ovsam \
    OVSAM_CACHE=/cache/ovsam \
    HF_HOME=/cache/huggingface \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME ["/cache"]
WORKDIR /data
USER 1000
# Of `ovsam serve`; `docker run -p` opens it.
EXPOSE 9090
HEALTHCHECK --interval=5m --timeout=30s --start-period=1m --retries=2 \
  CMD ["ovsam", "doctor", "--quick", "--output", "/cache"]
ENTRYPOINT ["ovsam"]
CMD ["--help"]
