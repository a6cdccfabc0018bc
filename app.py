"""Opens RLHF Lab in the browser; python app.py --help lists the options."""

from __future__ import annotations

import sys


def open_page() -> int:
    """Ctrl-C ends it without a word also while the libraries are read and the page is not there yet."""
    try:
        from lab import allocator
        from lab.ui.launch import main

        allocator.search_rarely()
        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(open_page())
