"""Damaged PTX and cubins for softcuda: never a crash, a hang or silent success."""
