"""`python -m boatyard` is the command `boatyard`."""

from boatyard.cli import main

main()
