"""``python -m skgat`` is the command ``skgat``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
