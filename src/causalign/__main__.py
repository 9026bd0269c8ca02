"""`python -m causalign` is the command."""

from causalign.cli import main

main()
