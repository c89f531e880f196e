"""Run ``reid-gen train``."""

import sys

from reid_gen.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
