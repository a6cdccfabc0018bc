"""Opens RLHF Lab in the browser; python app.py --help lists the options."""

from __future__ import annotations

import sys

from lab import allocator
from lab.ui.launch import main

if __name__ == "__main__":
    allocator.search_rarely()
    sys.exit(main())
