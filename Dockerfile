# docker build --target cpu -t cxr-triage:cpu .    or --target gpu. The models in models/ are part of the image.
# For a store in PostgreSQL and S3: --build-arg CPU_PINS=serve-cpu-cluster.txt, or GPU_PINS=serve-gpu-cluster.txt.
# `make image-digests` says which python:3.11-slim that is, for whoever wants the same one again.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/triage/bin:$PATH
RUN python -m venv /opt/triage

# Built by the pinned setuptools, as every wheel of ours: without isolation pip fetches none of its own choice.
FROM build AS wheel
COPY requirements/dev.txt /build/dev.txt
RUN sed -n '/^setuptools==/,/[^\\]$/p' /build/dev.txt > /build/setuptools.txt \
    && pip install --require-hashes --only-binary=:all: -r /build/setuptools.txt
COPY LICENSE README.md pyproject.toml /build/
COPY triage /build/triage
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels /build

# The pins before our wheel: a change of our code leaves their layer as it is.
FROM build AS build-cpu
ARG CPU_PINS=serve-cpu.txt
COPY requirements/${CPU_PINS} /build/requirements.txt
RUN pip install --require-hashes --only-binary=:all: -r /build/requirements.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && pip uninstall --yes pip

# CUDA and cuDNN come as wheels; the host gives the driver alone (NVIDIA Container Toolkit).
FROM build AS build-gpu
ARG GPU_PINS=serve-gpu.txt
COPY requirements/${GPU_PINS} /build/requirements.txt
RUN pip install --require-hashes --only-binary=:all: -r /build/requirements.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl && pip uninstall --yes pip

FROM ${PYTHON_IMAGE} AS base
LABEL org.opencontainers.image.title="cxr-triage" \
    org.opencontainers.image.description="Research software, not a medical device" \
    org.opencontainers.image.licenses="Apache-2.0 AND LicenseRef-RSNA-non-commercial-research-and-education"
# triage silences ONNX Runtime itself; the variable is for whatever else is run in the image (docs/reference/network.md).
ENV PATH=/opt/triage/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin triage \
    && install -d -o triage -g triage -m 0700 /var/lib/triage
WORKDIR /srv/triage
COPY LICENSE /srv/triage/LICENSE
COPY models /srv/triage/models
ENV TRIAGE_DATA_PATH=/var/lib/triage TRIAGE_MODELS_PATH=/srv/triage/models
VOLUME /var/lib/triage
USER triage
# Asks all that `up` starts; a container that runs one process asks that one (see deploy/compose.yaml).
HEALTHCHECK --interval=30s --timeout=30s --start-period=120s CMD ["triage", "healthcheck", "--process", "all"]
ENTRYPOINT ["triage"]
CMD ["up"]

FROM base AS gpu
COPY --from=build-gpu /opt/triage /opt/triage
ENV TRIAGE_WORKER_PROVIDER=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# Last, so that a build without --target makes this one.
FROM base AS cpu
COPY --from=build-cpu /opt/triage /opt/triage
