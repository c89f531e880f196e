"""Evaluate: ``reid-gen evaluate``, or, of an encoder by its name or file, ``zoo evaluate``."""

import sys

from reid_gen.cli.main import main

if __name__ == "__main__":
    words = sys.argv[1:]
    named = any(word.split("=")[0] == "--dataset" for word in words)
    named = named or (bool(words) and not words[0].startswith("-"))
    main([*(("zoo", "evaluate") if named else ("evaluate",)), *words])
