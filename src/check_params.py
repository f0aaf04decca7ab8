"""check_params: params.yaml -> a constant file, or an error before any output is touched."""

from pathlib import Path

from evensong.run.stage import run_stage  # first: it sets the thread counts

from evensong.params import load_section
from evensong.run.publish import publishing
from evensong.schemas import Params

OUTPUT = Path("artifacts/params.ok")


def main() -> None:
    load_section("", Params)
    with publishing("check_params", [OUTPUT]) as staged:
        staged[OUTPUT].write_text("params.yaml follows the schemas\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
