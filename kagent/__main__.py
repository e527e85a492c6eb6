"""`python -m kagent` is `kagent`."""

import sys

from kagent.cli import main

sys.exit(main())
