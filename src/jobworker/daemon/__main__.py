"""``python -m jobworker.daemon`` is ``jobd``."""

from __future__ import annotations

import sys

from jobworker.daemon.main import main

sys.exit(main())
