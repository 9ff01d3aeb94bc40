"""python -m longvpo, and accelerate launch -m longvpo."""

from longvpo.cli.main import main

main()
