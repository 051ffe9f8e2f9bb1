"""Run a node (`kept.py up …`) or a program (`kept.py FILE`) that ends when its standard input is closed.

So nothing outlives the driver that began it, however that ends.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def end_with_parent() -> None:
    """End this process when whoever began it is gone; what a node has started ends with the node."""
    threading.Thread(target=lambda: os._exit(0 if os.read(0, 1) else 1), daemon=True).start()


if __name__ == "__main__":
    end_with_parent()
    sys.argv.pop(0)
    if sys.argv[0] == "up":
        from comity.cli.main import main

        sys.argv.insert(0, "comity")
        main()
        sys.exit()
    runpy.run_path(sys.argv[0], run_name="__main__")
