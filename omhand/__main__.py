"""``python -m omhand``: the same as the command ``omhand``."""

from omhand.cli import main

if __name__ == "__main__":
    main()
