"""python -m longvpo, and accelerate launch -m longvpo."""

from longvpo.cli import main

main()
