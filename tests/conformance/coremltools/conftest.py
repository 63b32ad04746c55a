import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the plugin's modules, as the command sees them
