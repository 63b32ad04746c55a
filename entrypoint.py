#!/usr/bin/env python3
"""The command line: `python entrypoint.py --help`."""

import os
import sys

os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' own progress bars; read when tqdm is imported
# Ctrl-C ends workers that hold a library's semaphores; multiprocessing frees them, and would say so on the terminal.
os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")

from converter.cli import main

if __name__ == "__main__":
    sys.exit(main())
