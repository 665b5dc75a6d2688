"""The chip models on their buses, without an emulator: node.js runs the files ``*.test.mjs``."""

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def test_chip_models_keep_to_their_datasheets(node_js):
    result = subprocess.run([node_js, "--test", str(HERE)], capture_output=True, text=True, timeout=110)
    failures = re.findall(r"^\s*not ok .*", result.stdout, re.MULTILINE)
    assert result.returncode == 0, "\n".join(failures) or result.stdout + result.stderr
    passed = re.search(r"^# pass (\d+)", result.stdout, re.MULTILINE)
    assert passed
    assert int(passed[1]) >= 90
