"""`python -m oobconsole`."""

from oobconsole.cli.main import main

if __name__ == "__main__":
    main()
