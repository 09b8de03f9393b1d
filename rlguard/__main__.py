"""`python -m rlguard` is the command line."""

from rlguard.cli.main import main

if __name__ == "__main__":
    main()
