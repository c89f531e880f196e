"""Evaluate: the same as ``reid-gen evaluate``."""

import sys

from reid_gen.cli.main import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
