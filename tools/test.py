"""Run ``reid-gen evaluate``, or ``reid-gen zoo evaluate`` if a model or a data set is named."""

import sys

from reid_gen.cli.main import main

if __name__ == "__main__":
    words = sys.argv[1:]
    names_dataset = any(word.split("=")[0] == "--dataset" for word in words)
    names_model = bool(words) and not words[0].startswith("-")
    command = ["zoo", "evaluate"] if names_dataset or names_model else ["evaluate"]
    main([*command, *words])
