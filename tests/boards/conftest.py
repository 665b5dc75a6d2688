import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # on_micropython
sys.path.insert(0, str(HERE.parent / "air"))  # air_clients
