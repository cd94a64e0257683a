#!/bin/sh
# Resolve the pins anew from pyproject.toml's ranges. Usage: requirements/resolve.sh .venv/bin
# torch is pinned by hand in torch.txt: its wheels differ by accelerator, and a resolver would pin the CUDA libraries.
set -eu
bin=$1
"$bin/python" -m pip install --quiet uv
compile() {
    "$bin/uv" pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make pins" "$@"
}
compile --extra cpu --extra oidc -o requirements/serve-cpu.txt
compile --extra gpu --extra oidc -o requirements/serve-gpu.txt
compile --extra cpu --extra oidc --extra cluster -o requirements/serve-cpu-cluster.txt
compile --extra gpu --extra oidc --extra cluster -o requirements/serve-gpu-cluster.txt
compile --extra cpu --extra oidc --extra cluster --extra dev --extra train-base --extra validate --extra imagenet -o requirements/dev.txt
