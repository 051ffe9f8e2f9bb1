"""`python -m comity`: the command line."""

from comity.cli.main import main

if __name__ == "__main__":
    main()
