"""python -m longvpo, and accelerate launch -m longvpo."""

from longvpo.cli.commands import main

main()
