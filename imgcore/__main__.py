"""`python -m imgcore` is the program `imgcore`."""

from imgcore.cli.main import main

main()
