"""Opens RLHF Lab in the browser: python app.py [--workspace DIR] [--port N] [--host H] [--mode solo] [--share] [--inline]."""

from __future__ import annotations

import sys

from lab.ui.launch import main

if __name__ == "__main__":
    sys.exit(main())
