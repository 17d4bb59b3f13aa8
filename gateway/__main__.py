"""`python -m gateway`: serve until SIGTERM or SIGINT."""

from gateway.server import main

if __name__ == "__main__":
    main()
