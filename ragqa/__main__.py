"""`python -m ragqa`: the command line."""

import sys

from ragqa.cli import main

sys.exit(main())
