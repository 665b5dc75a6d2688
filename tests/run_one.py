"""Run by MicroPython: ``run_one.py MODULE FUNCTION``; exit code 1 and a traceback if it raises."""

import sys

module = __import__(sys.argv[1])
try:
    getattr(module, sys.argv[2])()
except Exception as error:
    sys.print_exception(error)
    sys.exit(1)
