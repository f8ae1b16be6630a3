"""``python -m refrnn_accel.softcuda``."""

from .cli import main

raise SystemExit(main())
