"""`python -m rds`: the command `rds`."""

import sys

from .cli import main

sys.exit(main())
