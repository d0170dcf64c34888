"""Print the plain MMDetection config of a stage, without running anything.

python tools/print_config.py configs/shapes/demo.py --stage student
python tools/print_config.py CONFIG --stage teacher --work-dir work_dirs/demo > teacher.py
python tools/print_config.py CONFIG --stage label --cfg-options label.floor=0.2

The tools of MMDetection and MMEngine accept the output as a config. The stage label is an
exception, because it runs no model: its output has only the sections label, report and split, and
the key visualizer.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

from contextlib import redirect_stdout

with redirect_stdout(sys.stderr):  # MMDetection prints on import
    from nbseg.config.options import add_config_options
    from nbseg.config.reading import read_config
    from nbseg.engine.stages import STAGES, stage_config
    from nbseg.engine.work_dir import default_work_dir


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config of a run; docs/configs.md describes its sections")
    parser.add_argument("--stage", required=True, choices=list(STAGES), help="stage to print")
    parser.add_argument(
        "--work-dir",
        help="work directory of the run; default: work_dir of the config, or work_dirs/CONFIG",
    )
    add_config_options(parser)
    arguments = parser.parse_args()
    try:
        with redirect_stdout(sys.stderr):  # modules of custom_imports may print, too
            config = read_config(arguments.config, arguments.cfg_options)
        work_dir = arguments.work_dir or default_work_dir(config, arguments.config)
        print(stage_config(config, arguments.stage, work_dir).pretty_text)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")


if __name__ == "__main__":
    main()
