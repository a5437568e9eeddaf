"""Everything that is said to be fast, measured beside its peers in one go: answers, trainings, whole suites.

    python benchmarks/speed.py --device cpu                                        # two quiet cores: about 45 minutes
    python benchmarks/shaped_model.py qwen --shape qwen3-0.6b --data DATA --dtype bfloat16
    python benchmarks/speed.py --device cuda --model qwen --data DATA              # one GPU: about 25 minutes

Each part is a script of its own, which says more of itself: ``speed_eval.py``, ``speed_train.py``, ``speed_suite.py``.
Prints what they print and ends with 1 where a limit is broken. Nothing else should run meanwhile.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CPU = (
    ("speed_eval.py",),
    ("speed_train.py", "--steps", "8", "--few", "4"),
    ("speed_train.py", "--steps", "8", "--few", "4", "--method", "lora", "--rank", "8"),
    ("speed_suite.py",),
)
CUDA = (("speed_eval.py",), ("speed_train.py", "--steps", "40", "--few", "4"), ("speed_suite.py",))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--model", help="a folder of shaped_model.py, for a GPU")
    parser.add_argument("--data", help="a data folder, for a GPU")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    if on_gpu and not (arguments.model and arguments.data):
        parser.error("a GPU needs --model and --data")
    given = [f"--device={arguments.device}"]
    given += [f"--model={arguments.model}", f"--data={arguments.data}"] if on_gpu else []
    codes = []
    for script, *options in CUDA if on_gpu else CPU:
        print(f"\n$ python benchmarks/{' '.join((script, *given, *options))}", flush=True)
        codes.append(subprocess.run([sys.executable, HERE / script, *given, *options], check=False).returncode)
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
