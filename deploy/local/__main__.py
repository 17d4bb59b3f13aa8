"""``python -m deploy.local``: see ``commands``."""

from __future__ import annotations

from deploy.local.commands import main

if __name__ == "__main__":
    main()
