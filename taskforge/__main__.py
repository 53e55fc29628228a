"""`python -m taskforge` is the command line."""

from taskforge.cli import main

if __name__ == "__main__":
    main()
