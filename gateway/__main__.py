"""Run the command line: ``python -m gateway`` is ``entente``."""

from gateway.cli import main

if __name__ == "__main__":
    main()
