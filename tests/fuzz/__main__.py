"""``make fuzz``: each target for its share of the time, guided by the coverage that an input reaches (atheris).

The corpus is kept below ``var/fuzz`` from one time to the next. An input that finds a defect lies there, too; when that
is mended, it goes to ``tests/fuzz/found/TARGET``, where every run of the tests tries it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from hashlib import sha256
from pathlib import Path

KEPT = Path("var/fuzz")
_MEMORY_MB = 2048
_SLOW_S = 20


def main() -> int:
    """The number of targets that found something."""
    arguments = _parser().parse_args()
    if arguments.one:
        _fuzz(arguments.one, arguments.seconds)
        return 0
    from tests.fuzz.targets import TARGETS

    names = arguments.target or list(TARGETS)
    found = []
    for name in names:
        print(f"== {name}", flush=True)  # noqa: T201
        share = max(arguments.seconds // len(names), 1)
        command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--seconds", str(share)]
        if subprocess.run(command, timeout=share * 4 + 300).returncode:
            found.append(name)
    print(f"found something: {', '.join(found) or 'none'}")  # noqa: T201
    return len(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--target", action="append", help="only this one (several allowed)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser


def _fuzz(name: str, seconds: int) -> None:
    """In a process of its own: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["triage"]):
        from tests.fuzz.targets import TARGETS

    warnings.simplefilter("ignore")
    target = TARGETS[name]
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / sha256(seed).hexdigest()).write_bytes(seed)
    bounds = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY_MB}", f"-timeout={_SLOW_S}", "-max_len=65536"]
    quiet = ["-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([name, str(corpus), *bounds, *quiet, f"-artifact_prefix={KEPT}/{name}-"], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
