# The batch image: docker run --rm -v "$PWD:/repo" IMAGE run models.yml. docs/container.md says how it is run.
# coremltools has no Linux wheel for arm64, so build for linux/amd64.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG TORCH_BACKEND=cpu
# Unchecked bytecode: times of files do not survive every builder, and nobody edits files in the image.
ENV PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt
WORKDIR /app
# Debian keeps one version of a package: a pin would break with its next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/*
COPY requirements requirements
COPY script/setup script/setup
# Behind a proxy with a certificate of its own: --secret id=ca,src=FILE, all certificates in one PEM file.
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    script/setup run \
    && .venv/bin/uv pip uninstall --quiet --python .venv/bin/python pip uv \
    && rm -f .venv/installed-* .venv/.lock
# What no run needs: test suites, C++ headers and programs, static libraries, type stubs.
RUN find .venv/lib -type d \( -name tests -o -path '*/torch/test' -o -path '*/torch/include' \) -prune -exec rm -rf {} + \
    && find .venv/lib -type f \( -name '*.a' -o -name '*.pyi' \) -delete \
    && find .venv/lib -path '*/torch/bin/*' ! -name torch_shm_manager -delete
COPY LICENSE entrypoint.py ./
COPY converter converter
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash converter

FROM ${BASE}
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="coreml-release" \
      org.opencontainers.image.description="PyTorch and ONNX models in, checked Core ML models out" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# git itself needs no other file to name a commit and to list what is tracked: 4 MB instead of 100 MB with Perl.
COPY --from=build /usr/bin/git /usr/bin/git
# The repository belongs to whoever runs the container, which git would refuse; its code is run here anyway.
RUN git config --system --add safe.directory '*' \
    && useradd --uid 10001 --gid 0 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin converter \
    && mkdir --mode 1777 /cache
COPY --from=build /app/.venv /app/.venv
COPY --from=build /app/LICENSE /app/entrypoint.py /app/
COPY --from=build /app/converter /app/converter
# HOME holds every library's cache; USER is asked for by torch where the uid has no name.
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    USER=converter \
    GIT_OPTIONAL_LOCKS=0 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:0
WORKDIR /repo
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/.venv/bin/python", "/app/entrypoint.py"]
CMD ["--help"]
