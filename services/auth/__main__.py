"""`python -m services.auth`: serve, or one of the commands of `commands.py`."""

from services.auth.commands import main

if __name__ == "__main__":
    main(prog_name="python -m services.auth")
